#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include "twofour/model/table.h"

namespace twofour::model {

/// tokens[id] + positions[position] as [N, D] for tokens [V, D], positions [context, D] (undefined:
/// none) and ids [B, T] at positions first_position…, in the compute dtype. Backward adds to the
/// masters' float32 gradients in place; those that require none get none.
at::Tensor embed(const Table& tokens, const Table& positions, const at::Tensor& ids,
                 int64_t first_position = 0);

}  // namespace twofour::model
