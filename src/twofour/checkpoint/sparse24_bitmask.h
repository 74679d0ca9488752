// One weight in the format sparse-24-bitmask of compressed-tensors: the two kept values of each
// group of four, and their positions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace twofour::checkpoint {

/// A weight [R, C], C a multiple of 4, of any floating-point type.
struct Sparse24Bitmask {
  at::Tensor compressed;  ///< [R, C / 2], the weight's type: kept values in order
  at::Tensor bitmask;     ///< uint8 [R, ceil(C / 8)], least significant bit first: 1 = kept
  at::Tensor shape;       ///< int64 [2, 1]
};

/// `weight` has at most two nonzero entries in each group of four along its rows; -0 counts as zero
/// and, if it is not kept, is restored as 0. `mask` has two kept entries of each group, in the form
/// of mask_files.h; undefined: the nonzero entries, and among zeros those of torch.topk, as in the
/// format's own writer. Throws Error with the row and column of a group that does not fit; the
/// caller adds the name.
Sparse24Bitmask compress24(const at::Tensor& weight, const at::Tensor& mask = {});

/// Restores the weight. Throws Error with the reason (the caller adds the name): types or sizes
/// that disagree, a group that does not keep two, bits after the end of a row.
at::Tensor decompress24(const Sparse24Bitmask& stored);

/// The bitmask in the form of mask_files.h: most significant bit first, rows not padded.
at::Tensor mask_of(const Sparse24Bitmask& stored);

/// Throws as decompress24 does, but only for types and sizes.
void check_sizes24(at::ScalarType compressed_dtype, const std::vector<int64_t>& compressed,
                   at::ScalarType bitmask_dtype, const std::vector<int64_t>& bitmask,
                   const std::vector<int64_t>& weight);

}  // namespace twofour::checkpoint
