// MVUE: unbiased 2:4 estimates of a gradient (arXiv 2203.10991).
#pragma once

#include <cstdint>

#include "twofour/base/random.h"
#include "twofour/kernels/types.h"

namespace twofour::kernels {

/// kApproximate: two draws without replacement by magnitude, what the published runs use.
/// kExact: inclusion probabilities min(1, 2 |x| / S), the least variance there is.
enum class Mvue { kApproximate, kExact };

/// The estimate of dz [tokens, features] (rows `stride` entries apart) into out [tokens, features],
/// contiguous: at most two entries are kept of every four consecutive tokens of a feature, and the
/// expectation is dz, up to 2^-22 of a group's sum: the numbers have 24 bits. float, bfloat16,
/// float16. Group number (token / 4) * mvue24_group_stride(features) + feature of `stream` draws
/// its number (see mvue24_uniform), so that the result is the same for any instruction set and
/// thread count. A last group of fewer tokens counts as filled up with zeros. A group of zeros
/// gives zeros; one with an infinity or NaN keeps the first two of these and nothing else, so that
/// a diverged run is seen.
template <class T>
void mvue24(const T* dz, int64_t tokens, int64_t features, int64_t stride,
            const RandomStream& stream, T* out, Mvue kind = Mvue::kApproximate);

}  // namespace twofour::kernels
