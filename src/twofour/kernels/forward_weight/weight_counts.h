// What the kernels that make a layer's forward weight count on the way.
#pragma once

#include <cstdint>

namespace twofour::kernels {

struct WeightCounts {
  int64_t flips = 0;  ///< entries of the mask that changed
  int64_t zeros = 0;  ///< entries of the result that are 0
};

}  // namespace twofour::kernels
