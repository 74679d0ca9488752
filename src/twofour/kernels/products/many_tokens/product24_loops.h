// The inner loops of product24.h on panels of kind kFloat, declared once per instruction set.
// product24_generic.h has the generic bodies; the file of an instruction set compiles them and
// replaces those that it can improve.
//
// A tile holds a block's columns of up to 64 tokens, with vectors along tokens. Column c begins at
// byte c * kSlotBytes. Accumulators c [4, 64] are float32.
#pragma once

#include <cstddef>
#include <cstdint>

#include "twofour/kernels/products/many_tokens/product24.h"

namespace twofour::kernels {

template <class T>
struct ProductLoops {
  /// tile <- x [tokens, 4 * groups], rows `stride` apart, transposed. Tokens up to the next
  /// multiple of 16 become 0.
  void (*load_transposed)(const T* x, int64_t tokens, int64_t stride, int64_t groups,
                          std::byte* tile);
  /// tile <- x [rows, width], width up to 64 and rows up to 4 * groups, padded with zeros.
  void (*load_rows)(const T* x, int64_t rows, int64_t width, int64_t stride, int64_t groups,
                    std::byte* tile);
  /// c += the quad's words times the tile, over `vectors` (1 to 4) vectors of 16 tokens.
  void (*multiply)(const uint32_t* words, const uint16_t* offsets, int64_t groups,
                   const std::byte* tile, int64_t vectors, float* c);
  /// y [tokens, rows] <- c [rows, 64] transposed.
  void (*store_transposed)(const float* c, int64_t rows, int64_t tokens, T* y, int64_t stride);
  /// y [rows, width] += c [rows, 64].
  void (*add_rows)(const float* c, int64_t rows, int64_t width, float* y, int64_t stride);
  /// Fills rows `row` to `row` + 15 of a panel from weight, or weight transposed. False if a group
  /// keeps more than two. If null, panel24.cc fills by entry.
  bool (*fill_strip)(const T* weight, int64_t stride, int64_t row, Panel24& panel) = nullptr;
  bool (*fill_strip_transposed)(const T* weight, int64_t stride, int64_t row,
                                Panel24& panel) = nullptr;
};

template <class T>
const ProductLoops<T>& product_reference();
template <class T>
const ProductLoops<T>& product_avx2();
template <class T>
const ProductLoops<T>& product_avx512();

/// The loops of instruction_set().
template <class T>
const ProductLoops<T>& product_loops();

}  // namespace twofour::kernels
