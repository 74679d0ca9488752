// Products of a packed 2:4 matrix with few dense vectors: one-token generation (decode) and small
// batches. Reading the matrix bounds the time; Packed24 makes it 1.78 times smaller in 16-bit types
// and 1.88 times in float32. For many tokens see product24.h.
#pragma once

#include <cstdint>
#include <type_traits>

#include "twofour/kernels/packed24/packed24.h"

namespace twofour::kernels {

/// The maximum that multiply_few is designed for, and the tokens of one pass over A.
constexpr int64_t kFewTokens = 64;

/// y [tokens, rows] = x Aᵀ + bias of x [tokens, columns], the packed A [rows, columns] and bias
/// [rows] or null. Sums are in float32; rows of x and y are `x_stride` and `y_stride` entries
/// apart. Designed for 1 to kFewTokens tokens, correct for any number. y must not overlap x and is
/// the same for any thread count. Instruction sets differ in the order of sums; those with a
/// bfloat16 dot product treat subnormal bfloat16 as 0. The set and the number of tokens determine
/// whether an infinity or NaN of x reaches y through an entry that A does not keep.
template <class T>
void multiply_few(const std::type_identity_t<Packed24View<T>>& a, const T* x, int64_t tokens,
                  int64_t x_stride, T* y, int64_t y_stride,
                  const std::type_identity_t<T>* bias = nullptr);

/// The same for a weight [rows, columns], rows `stride` entries apart, that is 2:4 along its rows
/// but not packed; reads it once. If it is not 2:4, throws Error like pack24 and y is undefined.
template <class T>
void multiply_few_packing(const T* weight, int64_t rows, int64_t columns, int64_t stride,
                          const T* x, int64_t tokens, int64_t x_stride, T* y, int64_t y_stride,
                          const std::type_identity_t<T>* bias = nullptr);

}  // namespace twofour::kernels
