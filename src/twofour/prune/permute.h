// Permutes the channels inside a block for the N:M masks of the layers that read them. The function
// of the dense block stays the same.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "twofour/model/model.h"
#include "twofour/prune/permutation.h"
#include "twofour/sparse/pruning.h"

namespace twofour::prune {

/// How the inputs of a layer were permuted.
struct PermutedInputs {
  std::string name;  ///< of the weight
  Permutation inputs;
};

/// Permutes the channels of block i of `model` in place (weights and biases of producers and
/// consumers), group by group (model/channels.h), for the masks of the layers that read them.
/// `pattern_of` gives the pattern of a weight, nullopt for one that stays dense; `scores_of` its
/// scores [out, in] for the present order of its inputs. A layer stays as it is if its pattern is
/// unstructured, or a group of its channels is no multiple of M. Returns the layers whose inputs
/// have changed: whatever else was measured of the inputs (a Gram matrix, norms) must be permuted
/// by inputs.order too.
std::vector<PermutedInputs> permute_block(
    model::Model& model, int64_t i,
    const std::function<std::optional<sparse::Pattern>(const std::string& name)>& pattern_of,
    const std::function<at::Tensor(const std::string& name, const at::Tensor& weight)>& scores_of);

}  // namespace twofour::prune
