#pragma once

#include <ATen/core/Tensor.h>

namespace twofour::model {

/// The tables of an embedding, each with its copy in the compute dtype (undefined = the master).
struct EmbeddingTables {
  at::Tensor tokens, forward_tokens;                  ///< [V, D]
  at::Tensor positions = {}, forward_positions = {};  ///< [context, D]; undefined = none
};

/// tokens[id] + positions[position] as [N, D] for ids [B, T] at positions first_position…, in the
/// compute dtype. Backward adds to the masters' float32 gradients in place.
at::Tensor embed(const EmbeddingTables& tables, const at::Tensor& ids, int64_t first_position = 0);

}  // namespace twofour::model
