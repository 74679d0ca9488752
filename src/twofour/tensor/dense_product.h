// The dense products of a linear layer on the CPU in every way that this libtorch and CPU have, and
// the fastest of them for a shape as choice.h measures it. float32, bfloat16 or float16; sums are
// float32 whatever the operands are.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "twofour/tensor/choice.h"

namespace twofour::tensor {

/// The dense implementations that can compute products of `dtype`; kDense, which always can, is the
/// last of them.
std::vector<Implementation> dense_implementations(at::ScalarType dtype);

/// x [tokens, in] times w [out, in] transposed, plus b [out] or undefined, as `how` says; to
/// kOneDnn the weight may be in oneDNN's order.
at::Tensor dense_product(Implementation how, const at::Tensor& x, const at::Tensor& weight,
                         const at::Tensor& bias);
/// dz [tokens, out] times w [out, in].
at::Tensor dense_input_gradient(Implementation how, const at::Tensor& dz, const at::Tensor& weight);
/// gradient [out, in] (float32) += dzᵀ x.
void add_dense_weight_gradient(Implementation how, const at::Tensor& dz, const at::Tensor& x,
                               at::Tensor& gradient);

/// The same by the fastest implementation. What is too small to matter, a single token and what is
/// not on the CPU are ATen's. Of a large product a part is timed.
at::Tensor fastest_dense_product(const at::Tensor& x, const at::Tensor& weight,
                                 const at::Tensor& bias);
at::Tensor fastest_dense_input_gradient(const at::Tensor& dz, const at::Tensor& weight);
void add_fastest_dense_weight_gradient(const at::Tensor& dz, const at::Tensor& x,
                                       at::Tensor& gradient);

}  // namespace twofour::tensor
