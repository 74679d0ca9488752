// The peer of decoding: one dot product of a weight's row with x at a time, as llama.cpp has it for
// weights that are not quantised. Fast where a product is bound by reading the weight.
#pragma once

#include <cstdint>

#include "twofour/kernels/types.h"

namespace twofour::cli {

/// y [tokens, rows] = x Wᵀ of x [tokens, columns] and W [rows, columns], all contiguous, sums in
/// float32. Uses the best of AVX-512 (with bfloat16 dot products), AVX2 and plain code that the CPU
/// has, whatever TWOFOUR_ISA says: the peer is not slowed down.
template <class T>
void multiply_rowwise(const T* weight, const T* x, int64_t rows, int64_t columns, int64_t tokens,
                      T* y);

}  // namespace twofour::cli
