// The products and panels of AMX: tiles of 16 x 32 bfloat16, with 8192 multiply-adds per
// instruction. The tile multiply does not skip zeros. 2:4 only saves memory traffic here: the
// panel's tiles are expanded in the first-level cache just before use.
//
// A float32 is the sum of three bfloat16 terms. Of the nine products of two float32 the six largest
// are summed; the others are under 2^-23 of the product, so this is as exact as sums in float32. A
// float16 is two terms, and all four products are summed. Subnormal float32 values count as zero.
#pragma once

#include <cstddef>
#include <cstdint>

#include "twofour/base/random.h"
#include "twofour/kernels/products/many_tokens/panel24.h"
#include "twofour/kernels/products/many_tokens/product24.h"

namespace twofour::kernels {

constexpr int64_t kPair = 2 * kTileRows;        // rows and tokens multiplied at once
constexpr int64_t kPairFloats = kPair * kPair;  // sums of a pair, as four tiles of 16 x 16
constexpr int64_t kOperandTileBytes = 1024;

/// One call of TileLoops::multiply.
struct TileOperands {
  const std::byte* tiles;  ///< from the panel, `column_tiles` columns
  int64_t column_tiles;
  const std::byte* x;     ///< packed, at the same columns
  std::byte* expanded;    ///< `tiles` expanded: 2 KiB a column tile and term
  bool expands;           ///< expanded must first be filled
  bool both;              ///< x has more than 16 tokens
  const std::byte* next;  ///< to prefetch: `next_lines` cache lines a column tile
  int64_t next_lines;
};

/// The use of the sums [4, 16, 16] of a pair of x and a pair of row tiles at a block of columns. It
/// runs while the next pair is multiplied, when the vector units are idle.
template <class T>
struct PairSums {
  enum class Use {
    kNone,
    kAdd,        ///< to `before`
    kStore,      ///< y [tokens, rows] <- before + sums + bias
    kTransposed  ///< gradient [rows, tokens] += (before + sums)ᵀ
  };
  Use use = Use::kNone;
  const float* sums = nullptr;
  float* before = nullptr;  ///< of the previous blocks; null for none
  int64_t tokens = 0, rows = 0;
  T* y = nullptr;  ///< at the first token and row
  float* gradient = nullptr;
  int64_t stride = 0;       ///< of y or gradient
  const T* bias = nullptr;  ///< [rows], or null
  bool streams = false;     ///< y is stored past the caches: 32 rows in whole lines of 64 bytes
};

/// The inner loops on AMX, for each T. x is packed as operand tiles: for every pair (32 tokens, the
/// rows of the product) and column tile, terms x 2 tiles.
template <class T>
struct TileLoops {
  /// Tiles may be used on this thread between start() and stop(). Their stores are visible to other
  /// threads after stop().
  void (*start)();
  void (*stop)();
  /// x [tokens <= 32, columns], rows `stride` apart, as the tiles of one pair, padded with zeros.
  void (*pack_rows)(const T* x, int64_t tokens, int64_t columns, int64_t stride, std::byte* out);
  /// The same for xᵀ: x [rows, width <= 32]; the product sums over `rows`.
  void (*pack_columns)(const T* x, int64_t rows, int64_t width, int64_t stride, std::byte* out);
  /// sums [4, 16, 16] = a pair of x times a pair of row tiles. Meanwhile it processes `pending`,
  /// which has other sums.
  void (*multiply)(const TileOperands& operands, float* sums, const PairSums<T>& pending);
  /// Processes `pending` at once.
  void (*finish)(const PairSums<T>& pending);
};

/// The loops that fill panels of tiles, separate from the products: no multiply-add fuses here.
template <class T>
struct TileFills {
  /// Fills the panel's row tiles of one pair. False if a group of four columns keeps more than two.
  bool (*fill)(const T* weight, int64_t stride, int64_t pair, Panel24& panel);
  /// Fills the tiles of the pairs first to last - 1 at one column tile. Returns false if four
  /// columns of 16 rows keep more than 32 entries.
  bool (*fill_transposed)(const T* weight, int64_t stride, int64_t column_tile, int64_t first,
                          int64_t last, Panel24& panel);
  /// The same for the MVUE of dz; group (token / 4) has number token / 4 * group_stride + feature.
  void (*fill_mvue)(const T* dz, int64_t stride, const RandomStream& stream, int64_t column_tile,
                    int64_t first, int64_t last, Panel24& panel);
};

template <class T>
const TileLoops<T>& tile_loops();
template <class T>
const TileFills<T>& tile_fills();

/// multiply_transposed and multiply_add of product24.h for panels of tiles.
template <class T>
void multiply_transposed_tiles(const Panel24& a, const T* x, int64_t tokens, int64_t x_stride, T* y,
                               int64_t y_stride, const std::type_identity_t<T>* bias);
template <class T>
void multiply_add_tiles(const Panel24& a, const T* x, int64_t width, int64_t x_stride, float* y,
                        int64_t y_stride);

}  // namespace twofour::kernels
