// Which layers of a model are pruned, to which pattern, and why the others are not.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "twofour/model/model.h"
#include "twofour/prune/options.h"

namespace twofour::prune {

struct SkippedLayer {
  std::string name;
  std::string reason;
  bool was_chosen = false;  ///< by its name: only its columns do not fit
};

struct LayerPlan {
  /// Name of a weight -> its pattern, block by block.
  std::vector<std::map<std::string, sparse::Pattern>> blocks;
  /// Every other linear layer, the output matrix and the embeddings, in the model's order.
  std::vector<SkippedLayer> skipped;

  int64_t last_block() const;  ///< with a layer to prune
};

/// A layer whose columns are no multiple of its pattern's M is skipped. Throws Error (usage) for an
/// invalid regular expression, one that matches no layer, blocks that the model does not have, and
/// a plan without any layer.
LayerPlan plan_layers(const model::ModelConfig& config, const PruneOptions& options);

}  // namespace twofour::prune
