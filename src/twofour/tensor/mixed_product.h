// Dense products of bfloat16 or float16 matrices with float32 sums, for CPUs without 16-bit
// arithmetic. ATen uses oneDNN there, which emulates it at a quarter of the speed of float32.
// Operands are either converted to float32, block by block so that a large matrix is never copied
// whole, or passed to MKL's 16-bit products. Results are rounded to nearest, ties to even; the
// order of all sums depends only on the shape.
#pragma once

#include <ATen/core/Tensor.h>

namespace twofour::tensor {

enum class MixedMeans { kFloat32, kMkl };

/// Whether operands of that dtype can be multiplied this way (kMkl: if libtorch contains MKL).
bool can_multiply(MixedMeans means, at::ScalarType dtype);

/// x [T, in] times w [out, in] transposed, plus b [out] or undefined: z [T, out], all of one dtype.
at::Tensor mixed_product(MixedMeans means, const at::Tensor& x, const at::Tensor& weight,
                         const at::Tensor& bias);

/// dz [T, out] times w [out, in]: dx [T, in].
at::Tensor mixed_input_gradient(MixedMeans means, const at::Tensor& dz, const at::Tensor& weight);

/// gradient [out, in] (float32) += dzᵀ x, without intermediate rounding.
void add_mixed_weight_gradient(MixedMeans means, const at::Tensor& dz, const at::Tensor& x,
                               at::Tensor& gradient);

}  // namespace twofour::tensor
