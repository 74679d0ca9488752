#pragma once

#include <ATen/core/Tensor.h>

#include "twofour/model/gpt2.h"

namespace twofour::model {

/// wte[id] + wpe[position] as [N, D] for ids [B, T] at positions first_position…, in the compute
/// dtype. Backward adds to the float32 gradients of wte and wpe in place.
at::Tensor embed(const Gpt2& model, const at::Tensor& ids, int64_t first_position);

}  // namespace twofour::model
