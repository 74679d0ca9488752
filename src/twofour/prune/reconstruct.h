// Trains the kept weights of a pruned block to give the dense block's output.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "twofour/model/model.h"
#include "twofour/prune/activations.h"
#include "twofour/prune/layer.h"

namespace twofour::prune {

/// A layer's float32 weight [out, in] and its mask (bool).
struct MaskedWeight {
  at::Tensor weight, mask;
};

/// Trains the kept entries of `layers` (names of weights of the block) by AdamW without decay on
/// ‖block(x) - target‖² over all batches, `passes` times, with a rate that falls linearly to 0 from
/// `rate` times the root mean square of a layer's kept weights (arXiv 2510.14444; regional
/// optimisation of Wanda++, arXiv 2503.04992). Masks stay. If the error has not fallen, the weights
/// are restored.
Reconstruction reconstruct_block(const model::Model& model, int64_t block,
                                 const Activations& inputs, const Activations& targets,
                                 const std::vector<model::Pass>& forward_passes, int64_t passes,
                                 double rate, std::map<std::string, MaskedWeight>& layers,
                                 const std::function<void()>& progress);

}  // namespace twofour::prune
