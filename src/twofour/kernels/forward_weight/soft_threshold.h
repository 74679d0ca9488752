// The soft threshold of S-STE (arXiv 2409.09099, section 4.1): S(a) = sign(a) max(|a| - t, 0), t
// the second smallest magnitude of four consecutive entries. Results are independent of thread
// count and instruction set. NaN counts as larger than infinity and stays NaN; infinity minus
// infinity is NaN. At most two entries of four are nonzero.
#pragma once

#include <cstdint>

#include "twofour/kernels/forward_weight/weight_counts.h"
#include "twofour/kernels/types.h"

namespace twofour::kernels {

/// β = <w, S(w)> / <S(w), S(w)> of w [rows, columns], rows `stride` entries apart, sums in double;
/// 1 if S(w) = 0, NaN if w has a NaN. Throws Error if columns is not a multiple of 4. A contiguous
/// copy gives the same bits.
double soft_threshold_scale(const float* w, int64_t rows, int64_t columns, int64_t stride);

/// out [rows, columns], contiguous, = scale · S(w). `mask` (ceil(rows · columns / 8) bytes, most
/// significant bit first, rows consecutive) is compared with the magnitude mask of w and replaced
/// by it. Throws like soft_threshold_scale.
template <class T>
WeightCounts soft_threshold24(const float* w, int64_t rows, int64_t columns, int64_t stride,
                              float scale, T* out, uint8_t* mask);

}  // namespace twofour::kernels
