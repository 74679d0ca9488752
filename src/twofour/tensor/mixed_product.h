// Dense products of bfloat16 or float16 matrices with float32 sums, for CPUs that have no 16-bit
// arithmetic: oneDNN, which ATen asks, emulates it there at a quarter of the speed of float32.
// Either the operands are converted to float32, a block at a time so that a large matrix needs no
// copy of its own, or MKL's 16-bit products take them as they are. Results are rounded to the
// nearest, ties to even; the order of all sums depends on the shape alone.
#pragma once

#include <ATen/core/Tensor.h>

namespace twofour::tensor {

enum class MixedMeans { kFloat32, kMkl };

/// Whether operands of that dtype can be multiplied so (kMkl: where libtorch holds MKL).
bool can_multiply(MixedMeans means, at::ScalarType dtype);

/// x [T, in] times w [out, in] transposed, plus b [out] or undefined: z [T, out], all of one dtype.
at::Tensor mixed_product(MixedMeans means, const at::Tensor& x, const at::Tensor& weight,
                         const at::Tensor& bias);

/// dz [T, out] times w [out, in]: dx [T, in].
at::Tensor mixed_input_gradient(MixedMeans means, const at::Tensor& dz, const at::Tensor& weight);

/// gradient [out, in] (float32) += dzᵀ x: nothing is rounded on the way.
void add_mixed_weight_gradient(MixedMeans means, const at::Tensor& dz, const at::Tensor& x,
                               at::Tensor& gradient);

}  // namespace twofour::tensor
