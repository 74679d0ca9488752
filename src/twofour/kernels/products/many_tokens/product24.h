// Products of a 2:4 sparse matrix with many dense vectors: half the multiplications of the dense
// product. docs/kernels.md describes the methods and the gap to the hardware's limit.
#pragma once

#include <cstdint>
#include <type_traits>

#include "twofour/kernels/products/many_tokens/panel24.h"

namespace twofour::kernels {

/// y [tokens, rows] = x Aᵀ + bias of x [tokens, columns], A [rows, columns] (the panel, of kind
/// panel_kind<T>()) and bias [rows] or null. Sums are in float32; x, y rows `x_stride`, `y_stride`
/// entries apart. y is the same for any thread count. y and x must not overlap.
template <class T>
void multiply_transposed(const Panel24& a, const T* x, int64_t tokens, int64_t x_stride, T* y,
                         int64_t y_stride, const std::type_identity_t<T>* bias = nullptr);

/// y [rows, width] += A x of x [columns, width] in float32.
template <class T>
void multiply_add(const Panel24& a, const T* x, int64_t width, int64_t x_stride, float* y,
                  int64_t y_stride);

}  // namespace twofour::kernels
