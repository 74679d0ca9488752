// GELU in the tanh form (arXiv 1606.08415, section 2), forward and backward, each in one pass over
// memory. The bits are independent of instruction set and thread count.
#pragma once

#include <cstdint>

#include "twofour/kernels/types.h"

namespace twofour::kernels {

/// out = gelu(z) = z σ(2u), u = sqrt(2/π) (z + 0.044715 z³), σ the logistic function, computed in
/// float32 and rounded to T. out may be z.
template <class T>
void gelu(const T* z, int64_t count, T* out);

/// dz = dy · gelu'(z), gelu' = σ + z σ (1 - σ) 2 u'. dz may be dy or z.
template <class T>
void gelu_gradient(const T* z, const T* dy, int64_t count, T* dz);

}  // namespace twofour::kernels
