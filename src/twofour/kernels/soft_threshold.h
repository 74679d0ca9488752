// The soft threshold of S-STE (arXiv 2409.09099, section 4.1): S(a) = sign(a) max(|a| - t, 0), t
// the second smallest magnitude of four consecutive entries. Every result is the same for any
// thread count and instruction set. NaN counts as larger than infinity and becomes 0.
#pragma once

#include <cstdint>

#include "twofour/kernels/types.h"
#include "twofour/kernels/weight_counts.h"

namespace twofour::kernels {

/// β = <w, S(w)> / <S(w), S(w)> over `count` entries (a multiple of 4), sums in double; 1 if S(w) =
/// 0.
double soft_threshold_scale(const float* w, int64_t count);

/// out = scale · S(w) over `count` entries (a multiple of 4); `mask` (ceil(count / 8) bytes, most
/// significant bit first) is compared with the magnitude mask of w and replaced by it.
template <class T>
WeightCounts soft_threshold24(const float* w, int64_t count, float scale, T* out, uint8_t* mask);

}  // namespace twofour::kernels
