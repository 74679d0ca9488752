// Attention of a whole sequence: libtorch's flash attention. On CPUs without 16-bit arithmetic
// that of bfloat16 is up to five times as slow as that of float32, and that of float16 everywhere.
#pragma once

#include <ATen/core/Tensor.h>

namespace twofour::model {

/// softmax(q kᵀ / √d) v of [B, H, T, d] each, every token seeing itself and those before it, in
/// their dtype. bfloat16 and float16 on the CPU are computed in float32 where that was measured to
/// be faster (tensor/choice.h); what backward needs is kept in their dtype.
at::Tensor causal_attention(const at::Tensor& queries, const at::Tensor& keys,
                            const at::Tensor& values);

}  // namespace twofour::model
