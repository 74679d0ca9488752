// Selection by magnitude among any number of values, of equals the later, NaN above infinity.
#pragma once

#include <cstdint>

namespace twofour::kernels {

/// The magnitude that `rank` of the `count` magnitudes precede in ascending order, 0 <= rank <
/// count. Two passes over the values and no copy, if there are many.
float smallest_magnitude(const float* values, int64_t count, int64_t rank);

/// mask = 0 for the `removed` smallest magnitudes of `count`, 1 for the others.
void keep_largest(const float* values, int64_t count, int64_t removed, uint8_t* mask);

}  // namespace twofour::kernels
