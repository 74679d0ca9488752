// Masks of matrices. A mask has one byte per entry, 1 = kept, contiguous [rows, columns]; its bits
// are eight per byte, most significant bit first. Inputs are float, bfloat16 or float16 with rows
// `stride` entries apart. Results are independent of instruction set and thread count.
#pragma once

#include <cstdint>

#include "twofour/kernels/types.h"

namespace twofour::kernels {

/// Magnitude N:M keeps the `kept` largest magnitudes of every `group` consecutive entries of a row,
/// the later of equals, NaN above infinity; always exactly N of M. Throws Error if M does not
/// divide columns, N > M, or M > 8.
template <class T>
void magnitude_mask(const T* weight, int64_t rows, int64_t columns, int64_t stride, int kept,
                    int group, uint8_t* mask);

/// Transposable 2:4 (arXiv 2404.01847, section 4.1): for every 4 x 4 block, the pattern with the
/// largest sum of kept magnitudes, in float32, among the 90 with two kept in every row and column.
/// NaN and infinity count as the largest finite value. Of equal sums the first wins, in the order
/// of transposable24.h. Throws Error if rows or columns is not a multiple of 4.
template <class T>
void transposable_mask24(const T* weight, int64_t rows, int64_t columns, int64_t stride,
                         uint8_t* mask);

/// The number of entries that differ between two masks of `count` entries.
int64_t mask_flips(const uint8_t* mask, const uint8_t* other, int64_t count);

/// out [rows, columns], contiguous, = weight where kept, 0 elsewhere (also for NaN and infinity).
/// out may be weight itself when that is contiguous.
template <class T>
void apply_mask(const T* weight, int64_t rows, int64_t columns, int64_t stride, const uint8_t* mask,
                T* out);

/// The bits [ceil(count / 8)] of a mask of `count` entries; the last byte is padded with zeros. Any
/// nonzero byte counts as kept.
void pack_mask(const uint8_t* mask, int64_t count, uint8_t* bits);

/// The mask of `count` entries in `bits`.
void unpack_mask(const uint8_t* bits, int64_t count, uint8_t* mask);

/// The number of the first `count` bits that differ between two masks.
int64_t bit_flips(const uint8_t* bits, const uint8_t* other, int64_t count);

}  // namespace twofour::kernels
