// Products with vectors over the 16 rows of a panel's strip. A register holds 32 bfloat16 or 16
// float32 columns of a token, unchanged; one permutation by the strip's positions selects the kept
// columns of each row. A permutation and a multiply-add replace two dense multiply-adds. This pays
// where permutations have a pipe that multiply-adds leave free (Zen 4 and later: three pipes for
// the two, 1.5 a cycle). x needs no transposition and no copies per choice of columns.
#pragma once

#include <cstddef>
#include <cstdint>

#include "twofour/kernels/products/lines24.h"
#include "twofour/kernels/products/many_tokens/panel24.h"
#include "twofour/kernels/products/many_tokens/product24.h"

namespace twofour::kernels {

constexpr int64_t kStripTokens = 16;  // maximum whose sums with a strip stay in registers

/// The destination of the product of a strip and a tile: 16 lines of memory, prefetched during the
/// product.
struct StripTarget {
  const void* lines;
  int64_t line_bytes;   ///< distance between lines
  int64_t strip_bytes;  ///< distance between strips
};

/// Strips of a panel at a block of columns, and a tile of packed x (lines24.h).
struct StripOperands {
  const std::byte* chunks;  ///< of the first strip, at the block's start
  int64_t strip_bytes;      ///< distance between strips
  int64_t strips;
  int64_t chunk_count;
  const std::byte* x;  ///< at the same columns
  int64_t tokens;
  const std::byte* next;  ///< the first strip of the next call, like `chunks`: prefetched
  StripTarget target;     ///< any available line if more columns follow
};

/// The rows and tokens of some sums.
struct StripSums {
  const float* sums;  ///< [strips, tokens, 16]
  int64_t rows, tokens;
};

/// The inner loops for each T.
template <class T>
struct StripLoops {
  /// x [tokens, columns], rows `stride` apart.
  void (*pack_rows)(const T* x, int64_t tokens, int64_t columns, int64_t stride, std::byte* out);
  /// The same for xᵀ: x [rows, width]; the product sums over `rows`.
  void (*pack_columns)(const T* x, int64_t rows, int64_t width, int64_t stride, std::byte* out);
  /// sums [strips, tokens, 16] = the product, or += it unless `starts`.
  void (*multiply)(const StripOperands& operands, bool starts, float* sums);
  /// y [tokens, rows] = sums + bias [rows], which may be null.
  void (*store)(const StripSums& sums, T* y, int64_t stride, const T* bias);
  /// y [rows, tokens] += sums transposed.
  void (*add)(const StripSums& sums, float* y, int64_t stride);
  /// Fills a strip of the panel. Returns false if a group keeps more than two.
  bool (*fill)(const T* weight, int64_t stride, int64_t strip, Panel24& panel);
  /// The same from weight transposed, one chunk of every strip, since their sources are adjacent in
  /// memory.
  bool (*fill_transposed)(const T* weight, int64_t stride, int64_t chunk, Panel24& panel);
};

template <class T>
const StripLoops<T>& strip_loops();

/// multiply_transposed and multiply_add of product24.h for panels of strips.
template <class T>
void multiply_transposed_strips(const Panel24& a, const T* x, int64_t tokens, int64_t x_stride,
                                T* y, int64_t y_stride, const std::type_identity_t<T>* bias);
template <class T>
void multiply_add_strips(const Panel24& a, const T* x, int64_t width, int64_t x_stride, float* y,
                         int64_t y_stride);

}  // namespace twofour::kernels
