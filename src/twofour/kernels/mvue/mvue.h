// MVUE: unbiased 2:4 estimates of a gradient (arXiv 2203.10991).
#pragma once

#include <cstdint>

#include "twofour/base/random.h"
#include "twofour/kernels/types.h"

namespace twofour::kernels {

/// kApproximate: two draws without replacement by magnitude, as in the published runs.
/// kExact: inclusion probabilities min(1, 2 |x| / S), which give the minimum variance.
enum class Mvue { kApproximate, kExact };

/// Writes the estimate of dz [tokens, features] (rows `stride` entries apart) to out [tokens,
/// features], contiguous. At most two entries are kept of every four consecutive tokens of a
/// feature. The expectation is dz up to 2^-22 of a group's sum, since the random numbers have 24
/// bits. float, bfloat16, float16. Group number (token / 4) * mvue24_group_stride(features) +
/// feature of `stream` selects the random number (see mvue24_uniform), so the result is independent
/// of instruction set and thread count. A last group of fewer tokens is padded with zeros. A group
/// of zeros gives zeros. One with an infinity or NaN keeps only the first two of these, so a
/// diverged run is visible.
template <class T>
void mvue24(const T* dz, int64_t tokens, int64_t features, int64_t stride,
            const RandomStream& stream, T* out, Mvue kind = Mvue::kApproximate);

}  // namespace twofour::kernels
