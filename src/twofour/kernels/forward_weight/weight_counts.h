// Counts from the kernels that make a layer's forward weight.
#pragma once

#include <cstdint>

namespace twofour::kernels {

struct WeightCounts {
  int64_t flips = 0;  ///< entries of the mask that changed
  int64_t zeros = 0;  ///< zero entries of the result
};

}  // namespace twofour::kernels
