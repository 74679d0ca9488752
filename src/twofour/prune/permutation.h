// An order of the input channels of a layer for which an N:M mask keeps more score (RIA, ICLR 2024,
// section on channel permutation).
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

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
/// Channels sorted by their sums are dealt over the groups. Then, place after place, the channels
/// of that place are assigned anew to 128 groups at a time so that they keep the most (a linear
/// assignment), until a round gains under 0.1 % or after `rounds` of them. Layers of more than 2^24
/// scores are judged by a part of their rows, so that the time is bounded. The order is the
/// identity if it would keep no more in all rows. Memory: two copies of the scores. A pure function
/// of its arguments for any number of threads. Throws Error for scores that are not finite, for
/// unstructured patterns and for channels that are no multiple of M.
Permutation find_permutation(const at::Tensor& scores, const sparse::Pattern& pattern,
                             int64_t rounds = 8);

}  // namespace twofour::prune
