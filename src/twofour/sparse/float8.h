// Simulated FP8 products of a linear layer (S-STE, arXiv 2409.09099, section 5.3). Both operands of
// the forward product are rounded to E4M3, those of both backward products to E5M2. Each tensor is
// scaled by largest / amax of its current values; the result is divided by both scales.
#pragma once

#include <ATen/core/Tensor.h>

#include "twofour/base/random.h"
#include "twofour/kernels/fp8/fp8.h"
#include "twofour/sparse/weight24.h"

namespace twofour::sparse {

/// A tensor in an FP8 product: its values rounded to FP8, in the tensor's own dtype (exact in
/// float32 and bfloat16), and their scale.
struct Float8Tensor {
  at::Tensor values;
  double scale = 1.0;
};
Float8Tensor to_float8(const at::Tensor& x, kernels::Float8 format);

/// W̃ rounded for both directions, computed when first needed and again after changed().
class Float8Weight : public torch::CustomClassHolder {
 public:
  void changed() { forward_ = backward_ = {}; }
  const Float8Tensor& forward(const at::Tensor& weight);
  const Float8Tensor& backward(const at::Tensor& weight);

 private:
  Float8Tensor forward_, backward_;
};

/// z = x W̃ᵀ + b, dx = dz W̃, gradient += estimate(dz)ᵀ x, as the products of linear24.h. `stream`:
/// MVUE of dz before its rounding; null: dz itself.
at::Tensor forward_product_float8(const at::Tensor& x, const at::Tensor& weight,
                                  const at::Tensor& bias, Float8Weight& rounded,
                                  Weight24* weight24);
at::Tensor input_gradient_product_float8(const at::Tensor& dz, const at::Tensor& weight,
                                         Float8Weight& rounded, Weight24* weight24);
void add_weight_gradient_float8(const at::Tensor& dz, const at::Tensor& x,
                                const RandomStream* stream, at::Tensor& gradient);

}  // namespace twofour::sparse
