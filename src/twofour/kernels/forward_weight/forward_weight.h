// The forward weight W̃ of a layer from its float32 master w (w where a 2:4 mask keeps it, else 0),
// and the decay of masked entries. Arrays are flat with `count` entries, a multiple of 4 (else an
// error); a mask is ceil(count / 8) bytes, most significant bit first. Results are independent of
// thread count and instruction set.
#pragma once

#include <cstdint>

#include "twofour/kernels/forward_weight/weight_counts.h"
#include "twofour/kernels/types.h"

namespace twofour::kernels {

/// out = w where the magnitude 2:4 mask of w keeps it, else 0. Of equal magnitudes the later entry
/// is kept; NaN counts as larger than infinity. `mask` is compared with that mask and replaced by
/// it.
template <class T>
WeightCounts magnitude24(const float* w, int64_t count, T* out, uint8_t* mask);

/// out = w where `mask`, which need not be 2:4, keeps it, else 0, also for NaN. Returns the number
/// of zeros in out.
template <class T>
int64_t masked_weight(const float* w, int64_t count, const uint8_t* mask, T* out);

/// gradient += factor * w where `mask` does not keep the entry (SR-STE, arXiv 2102.04010, section
/// 4), before the optimiser as in FST (arXiv 2404.01847, section 4.2). Kept entries do not change.
void add_masked_decay(const float* w, const uint8_t* mask, int64_t count, float factor,
                      float* gradient);

}  // namespace twofour::kernels
