// Permutation of input channels, so that an N:M mask keeps more score (RIA, ICLR 2024, section on
// channel permutation).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "twofour/model/model.h"
#include "twofour/sparse/pruning.h"

namespace twofour::prune {

struct Permutation {
  at::Tensor order;  ///< int64 [in]: channel i becomes the old channel order[i]
  double kept_before = 0, kept_after = 0;  ///< the sums of the scores that the mask keeps

  bool improves() const { return kept_after > kept_before; }
};

/// The sum of the scores [out, in] (float32) that an N:M mask keeps: the largest of each group.
double kept_score(const at::Tensor& scores, const sparse::Pattern& pattern);

/// An order of the channels [in] whose mask keeps more of `scores` [out, in] (float32, at least 0).
/// Channels sorted by their sums are dealt over the groups, then, place after place, the channels
/// of that place are assigned anew to 128 groups at a time so that they keep the most (a linear
/// assignment), until a round gains under 0.01 % or after `rounds` of them. Memory: a copy of the
/// scores. The order is the identity if it would keep no more. A pure function of its arguments for
/// any number of threads. Throws Error for scores that are not finite, for unstructured patterns
/// and for channels that are no multiple of M.
Permutation find_permutation(const at::Tensor& scores, const sparse::Pattern& pattern,
                             int64_t rounds = 8);

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

/// The Gram matrix [in, in] of the permuted inputs.
at::Tensor permute_gram(const at::Tensor& gram, const at::Tensor& order);

}  // namespace twofour::prune
