// One weight in the format sparse-24-bitmask of compressed-tensors: the two kept values of each
// group of four, and which they are.
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

/// `weight` has at most two entries that are not zero in each group of four along its rows; -0
/// counts as zero and, where it is not kept, comes back as 0. `mask`: which entries are kept, as
/// mask_files.h has it, two of each group; undefined: those that are not zero, and among zeros the
/// ones that torch.topk takes, as the format's own writer does. Throws Error with the row and
/// column of a group that does not fit, for the caller to say whose.
Sparse24Bitmask compress24(const at::Tensor& weight, const at::Tensor& mask = {});

/// The weight again. Throws Error with the reason, for the caller to say whose: types or sizes
/// that disagree, a group that does not keep two, bits behind the end of a row.
at::Tensor decompress24(const Sparse24Bitmask& stored);

/// The bitmask as mask_files.h has masks: most significant bit first, rows not padded.
at::Tensor mask_of(const Sparse24Bitmask& stored);

/// Throws as decompress24 does, for types and sizes only.
void check_sizes24(at::ScalarType compressed_dtype, const std::vector<int64_t>& compressed,
                   at::ScalarType bitmask_dtype, const std::vector<int64_t>& bitmask,
                   const std::vector<int64_t>& weight);

}  // namespace twofour::checkpoint
