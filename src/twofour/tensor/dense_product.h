// The dense products of a linear layer on the CPU, in all ways that this libtorch and CPU support,
// and the fastest of them for a shape by choice.h. Operands are float32, bfloat16 or float16; sums
// are always float32.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "twofour/tensor/choice.h"

namespace twofour::tensor {

/// The dense implementations for products of `dtype`. The last one is kDense, which always works.
std::vector<Implementation> dense_implementations(at::ScalarType dtype);

/// x [tokens, in] times w [out, in] transposed, plus b [out] or undefined, by `how`. For kOneDnn
/// the weight may be in oneDNN's order.
at::Tensor dense_product(Implementation how, const at::Tensor& x, const at::Tensor& weight,
                         const at::Tensor& bias);
/// dz [tokens, out] times w [out, in].
at::Tensor dense_input_gradient(Implementation how, const at::Tensor& dz, const at::Tensor& weight);
/// gradient [out, in] (float32) += dzᵀ x.
void add_dense_weight_gradient(Implementation how, const at::Tensor& dz, const at::Tensor& x,
                               at::Tensor& gradient);

/// The same by the fastest implementation. ATen computes small products, single tokens and tensors
/// outside the CPU. For a large product, only a part is timed.
at::Tensor fastest_dense_product(const at::Tensor& x, const at::Tensor& weight,
                                 const at::Tensor& bias);
at::Tensor fastest_dense_input_gradient(const at::Tensor& dz, const at::Tensor& weight);
void add_fastest_dense_weight_gradient(const at::Tensor& dz, const at::Tensor& x,
                                       at::Tensor& gradient);

}  // namespace twofour::tensor
