// Masks and masked weights for training: the float32 master, its mask (uint8, ceil(numel / 8)
// bytes, 8 entries a byte, most significant bit first, 1 = kept) and W̃ in the compute dtype.
// Weights are [out, in], contiguous.
#pragma once

#include <string>

#include <ATen/core/Tensor.h>

#include "twofour/kernels/forward_weight/weight_counts.h"

namespace twofour::sparse {

using kernels::WeightCounts;

/// A mask of bytes or bools, any shape, nonzero = kept, in the packed form above.
at::Tensor packed_mask(const at::Tensor& mask);

/// A packed mask with one byte an entry (0 or 1) and these sizes.
at::Tensor unpacked_mask(const at::Tensor& bits, at::IntArrayRef sizes);

/// The search for a weight's mask (kernels/masks/mask.h).
enum class MaskSearch {
  kMagnitude,    ///< two of every four consecutive inputs
  kTransposable  ///< two in every row and column of each 4 x 4 block
};

/// Throws Error (usage), with the sizes, for a weight that cannot have such a mask.
void check_maskable(const at::Tensor& weight, MaskSearch search, const std::string& name);

/// Replaces `mask` by the mask of `weight`; returns the number of entries that changed.
int64_t search_mask(const at::Tensor& weight, MaskSearch search, at::Tensor& mask);

/// out = weight ⊙ M with M the magnitude 2:4 mask, which replaces `mask`; search and product are
/// one pass.
WeightCounts magnitude24(const at::Tensor& weight, at::Tensor& out, at::Tensor& mask);

/// out = weight ⊙ mask; returns the number of zeros in out.
int64_t masked_weight(const at::Tensor& weight, const at::Tensor& mask, at::Tensor& out);

/// target += factor · (1 - mask) ⊙ weight, all float32; kept entries do not change. `target` may be
/// `weight`.
void add_masked_decay(const at::Tensor& weight, const at::Tensor& mask, double factor,
                      at::Tensor& target);

}  // namespace twofour::sparse
