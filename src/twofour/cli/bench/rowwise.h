// The baseline of decoding: one dot product of a weight's row with x at a time, as in llama.cpp for
// weights that are not quantised. It is fast if reading the weight is the bottleneck.
#pragma once

#include <cstdint>

#include "twofour/kernels/types.h"

namespace twofour::cli {

/// y [tokens, rows] = x Wᵀ of x [tokens, columns] and W [rows, columns], all contiguous, with sums
/// in float32. Uses the CPU's best of AVX-512 (with bfloat16 dot products), AVX2 and plain code.
/// Ignores TWOFOUR_ISA, so the baseline is not slowed down.
template <class T>
void multiply_rowwise(const T* weight, const T* x, int64_t rows, int64_t columns, int64_t tokens,
                      T* y);

}  // namespace twofour::cli
