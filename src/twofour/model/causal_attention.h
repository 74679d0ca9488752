// Attention over whole sequences by libtorch's flash attention. On CPUs without 16-bit arithmetic
// it is up to five times as slow in bfloat16 as in float32; in float16, on all CPUs.
#pragma once

#include <ATen/core/Tensor.h>

namespace twofour::model {

/// softmax(q kᵀ / √d) v of [B, H, T, d] each, in their dtype, where every token sees itself and
/// those before it. On the CPU, bfloat16 and float16 are computed in float32 if that was measured
/// to be faster (tensor/choice.h); tensors for backward stay in their dtype.
at::Tensor causal_attention(const at::Tensor& queries, const at::Tensor& keys,
                            const at::Tensor& values);

}  // namespace twofour::model
