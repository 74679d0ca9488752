// Adds the product of few tokens with many rows and columns to a matrix. Reading and writing that
// matrix once bounds the time.
#pragma once

#include <cstdint>

#include "twofour/kernels/types.h"

namespace twofour::kernels {

/// y [rows, width] += eᵀ x of e [tokens, rows] and x [tokens, width], all contiguous; skips the
/// terms of zero entries of e. Sums are in float32 in token order, so the bits are independent of
/// instruction set and number of threads. y must not overlap e or x.
template <class T>
void rank_update(const T* e, const T* x, int64_t tokens, int64_t rows, int64_t width, float* y);

}  // namespace twofour::kernels
