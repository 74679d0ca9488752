// The product of few tokens with many rows and columns, added to a matrix: bound by reading and
// writing that matrix, which passes once.
#pragma once

#include <cstdint>

#include "twofour/kernels/types.h"

namespace twofour::kernels {

/// y [rows, width] += eᵀ x of e [tokens, rows] and x [tokens, width], all contiguous, leaving out
/// what an entry of e that is 0 would add. Sums in float32, token after token: the same bits for
/// every instruction set and number of threads. y must not overlap e or x.
template <class T>
void rank_update(const T* e, const T* x, int64_t tokens, int64_t rows, int64_t width, float* y);

}  // namespace twofour::kernels
