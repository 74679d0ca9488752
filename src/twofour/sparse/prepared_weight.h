// A 2:4 weight that its owner prepares once for many products: torch.classes.twofour.Weight24 in
// Python.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include "twofour/sparse/weight24.h"

namespace twofour::sparse {

/// A copy of weight [out, in], float32, bfloat16 or float16 on the CPU, and its forms for products,
/// each made when first needed. Changes of the original tensor have no effect; only update() does.
/// Several threads may use one at the same time, and so may a forked child; no lock is held during
/// computation.
class PreparedWeight : public torch::CustomClassHolder {
 public:
  /// Throws Error, with the place, if weight is not 2:4 along its rows.
  explicit PreparedWeight(const at::Tensor& weight);

  /// Replaces the values; shape and dtype may change too. After an error nothing has changed. A
  /// concurrent product uses either the old or the new values.
  void update(const at::Tensor& weight);

  /// The weight [out, in]. Products read it, so it must not be written to.
  at::Tensor dense() const;

  /// x [tokens, in], of its dtype, times the weight transposed, plus bias [out] or undefined, on
  /// 2:4 kernels or dense ones as in linear24.h.
  at::Tensor multiply(const at::Tensor& x, const at::Tensor& bias) const;

  /// The number of kept forms.
  int count() const;

 private:
  struct Values {
    at::Tensor dense;  // contiguous, never written to
    c10::intrusive_ptr<const Weight24> forms;
  };
  static Values copy_of(const at::Tensor& weight);
  Values values() const;
  void keep(const Values& of, c10::intrusive_ptr<const Weight24> forms) const;

  mutable Values values_;  // accessed under a lock; the objects it points to do not change
};

}  // namespace twofour::sparse
