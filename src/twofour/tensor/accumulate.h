// Gradients: each parameter has one float32 buffer, to which backward passes add in place.
#pragma once

#include <ATen/core/Tensor.h>

namespace twofour::tensor {

/// weight.grad(), created as zeros if it does not exist (float32, the weight's shape).
at::Tensor& gradient_of(const at::Tensor& weight);

/// gradient += addend; both contiguous and of one shape; gradient float32, addend float32,
/// bfloat16 or float16. One pass over the memory.
void accumulate(const at::Tensor& addend, at::Tensor& gradient);

/// gradient [out, in] (float32, contiguous) += estimateᵀ x of estimate [tokens, out] and
/// x [tokens, in] of one type, on the CPU, for few tokens (kernels/training/rank_update.h).
void accumulate_outer(const at::Tensor& estimate, const at::Tensor& x, at::Tensor& gradient);

/// gradient_of(weight) += addend.
void add_to_gradient(const at::Tensor& weight, const at::Tensor& addend);

}  // namespace twofour::tensor
