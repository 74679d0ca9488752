// oneDNN's linear layers with the weight in oneDNN's preferred order. They are often faster than
// ATen's mm, which reorders the weight in every call.
#pragma once

#include <ATen/core/Tensor.h>

namespace twofour::tensor {

/// Whether this libtorch and CPU support them for `dtype`.
bool has_onednn(at::ScalarType dtype);

/// weight [out, in] (any strides) in oneDNN's order for products of about `tokens` tokens.
at::Tensor reorder_for_onednn(const at::Tensor& weight, int64_t tokens);

/// x wᵀ + b of x [tokens, in], w reordered or not, and b [out] or undefined.
at::Tensor onednn_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

}  // namespace twofour::tensor
