// Products of a packed 2:4 matrix with few dense vectors: generation with one token (decode) and
// small batches. Bound by reading the matrix, which Packed24 makes 1.78 times smaller in 16-bit
// types and 1.88 times in float32. Products of many tokens stand in product24.h.
#pragma once

#include <cstdint>
#include <type_traits>

#include "twofour/kernels/packed24/packed24.h"

namespace twofour::kernels {

/// What multiply_few is made for, and the tokens of one pass over A.
constexpr int64_t kFewTokens = 64;

/// y [tokens, rows] = x Aᵀ + bias of x [tokens, columns], the packed A [rows, columns] and bias
/// [rows] or null. Sums in float32; x, y rows `x_stride`, `y_stride` entries apart. Made for 1 to
/// kFewTokens tokens, right for any number. y must not overlap x. y is the same for any thread
/// count. Instruction sets differ in the order of the sums; those with a bfloat16 dot product take
/// subnormal bfloat16 as 0; whether an infinity or NaN of x reaches y through an entry that A does
/// not keep depends on the set and the number of tokens.
template <class T>
void multiply_few(const std::type_identity_t<Packed24View<T>>& a, const T* x, int64_t tokens,
                  int64_t x_stride, T* y, int64_t y_stride,
                  const std::type_identity_t<T>* bias = nullptr);

/// The same of a weight [rows, columns], rows `stride` entries apart, that is 2:4 along its rows
/// but not packed: reads it once. Throws Error where it is not, as pack24 does; then y is
/// undefined.
template <class T>
void multiply_few_packing(const T* weight, int64_t rows, int64_t columns, int64_t stride,
                          const T* x, int64_t tokens, int64_t x_stride, T* y, int64_t y_stride,
                          const std::type_identity_t<T>* bias = nullptr);

}  // namespace twofour::kernels
