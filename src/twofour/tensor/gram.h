// Gram matrices XᵀX of calibration inputs, summed over many X.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace twofour::tensor {

/// The sum of XᵀX. Only the lower triangle is computed, and small squares on the diagonal, so
/// little more than half of the arithmetic of the full product.
class GramSum {
 public:
  /// `dtype`: of the sums, float32 or float64. With float64 the products are computed in it too.
  GramSum(int64_t width, at::ScalarType dtype);

  /// x [tokens, width], any floating-point dtype.
  void add(const at::Tensor& x);

  /// The same sum of the inputs in another order: input j is this one's input order[j].
  GramSum permuted(const at::Tensor& order);

  int64_t tokens() const { return tokens_; }
  int64_t width() const { return sum_.size(0); }

  /// The symmetric sum [width, width]; a view, valid until the next add().
  at::Tensor matrix();
  /// The square roots of its diagonal [width], float32: the norms ‖X_j‖₂.
  at::Tensor norms() const;

 private:
  at::Tensor sum_;
  int64_t tokens_ = 0;
  bool is_symmetric_ = true;
};

}  // namespace twofour::tensor
