// Sums of gradients in float32.
#pragma once

#include <cstdint>

#include "twofour/kernels/types.h"

namespace twofour::kernels {

/// out += in.
template <class T>
void accumulate(const T* in, float* out, int64_t count);

}  // namespace twofour::kernels
