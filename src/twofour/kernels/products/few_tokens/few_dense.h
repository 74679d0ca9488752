// Products of one or a few tokens with the weights of a decode step, dense or packed. Reading the
// weights bounds the time. For many tokens see the libraries (dense) or product24.h.
#pragma once

#include <cstdint>
#include <span>
#include <variant>

#include "twofour/kernels/packed24/packed24.h"

namespace twofour::kernels {

/// A matrix [rows, columns] in memory owned by others, rows `stride` entries apart.
template <class T>
struct DenseView {
  int64_t rows = 0, columns = 0, stride = 0;
  const T* values = nullptr;

  const T* row(int64_t r) const { return values + r * stride; }
};

/// y [tokens, rows] = x Aᵀ + bias, rows of y `y_stride` entries apart.
template <class T>
struct FewProduct {
  std::variant<DenseView<T>, Packed24View<T>> a;
  const T* bias = nullptr;  ///< [rows], or null
  T* y = nullptr;
  int64_t y_stride = 0;

  int64_t rows() const {
    return std::visit([](const auto& each) { return each.rows; }, a);
  }
  int64_t columns() const {
    return std::visit([](const auto& each) { return each.columns; }, a);
  }
};

/// All products of x [tokens, columns], rows `x_stride` entries apart, in one parallel region, or
/// on this thread alone if the weights are too small for one. Sums are in float32, rounded once,
/// after the bias. Designed for 1 to kFewTokens (few24.h) tokens, correct for any number. No y may
/// overlap x or another y. Results are independent of thread count; instruction sets differ in the
/// order of sums and as few24.h describes. All weights have the same number of columns.
template <class T>
void multiply_few(std::span<const FewProduct<T>> products, const T* x, int64_t tokens,
                  int64_t x_stride);

}  // namespace twofour::kernels
