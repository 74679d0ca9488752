// A 2:4 sparse matrix in the reading order of the product of many tokens; rebuilt whenever the
// weight changes, never stored.
//
// kFloat: the product runs over blocks of 16 groups (64 columns). In a block, four rows (a quad)
// are stored together as steps, two per group. A step holds a kept float32 of each of the four
// rows. After all steps follows one 16-bit offset for each value, that of its column in the tile:
// position * kSlotBytes. Zeros pad rows to a multiple of 4 and groups to a multiple of 16.
//
// k…Strips, for vectors over rows (strips24.h): a strip is 16 rows, cut into chunks of eight steps:
// one 32-bit word per row and step, then 32 bits of positions per row. Strips, and chunks of a
// strip, are consecutive.
//   kBfloat16Strips   a step is a group, a chunk 32 columns; the word is the two kept bfloat16. The
//                     lower half of the positions has two bits per step for the place of the
//                     first, the upper half for that of the second;
//   kFloatStrips      a step is one kept float32, a chunk 16 columns; four bits of position a step,
//                     the column in the chunk.
// Zeros pad rows to a multiple of 16 and columns to whole chunks.
//
// k…Tiles, for AMX: a tile is 16 rows x 32 columns of the matrix. Line i of 16 is columns 2i and 2i
// + 1 of the 16 rows, interleaved for the tile multiply: 32 entries, with a mask word for the kept
// ones. Two lines, a group of each row, keep at most 32, in order:
//   16 mask words, then for each term 8 x 32 kept bfloat16.
// A float32 is the sum of three bfloat16 terms, a float16 of two. Zeros pad rows and columns to
// multiples of 32.
#pragma once

#include <cstddef>
#include <cstdint>

#include "twofour/base/random.h"
#include "twofour/kernels/buffer.h"
#include "twofour/kernels/types.h"

namespace twofour::kernels {

enum class PanelKind {
  kFloat,
  kBfloat16Strips,
  kFloatStrips,
  kBfloat16Tiles,
  kFloat16Tiles,
  kFloatTiles
};

constexpr int64_t kQuad = 4;          // rows computed together
constexpr int64_t kBlockGroups = 16;  // groups of a block
constexpr int64_t kTileTokens = 64;   // tokens of a tile
constexpr int64_t kSlotBytes = 256;   // one column of a tile

constexpr int64_t kStripRows = 16;
constexpr int64_t kChunkSteps = 8;
constexpr int64_t kChunkWordBytes = kChunkSteps * kStripRows * 4;
constexpr int64_t kChunkBytes = kChunkWordBytes + kStripRows * 4;

constexpr bool has_strips(PanelKind kind) {
  return kind == PanelKind::kBfloat16Strips || kind == PanelKind::kFloatStrips;
}
constexpr int64_t columns_of_chunk(PanelKind kind) {
  return kind == PanelKind::kBfloat16Strips ? 32 : 16;
}

constexpr int64_t kTileRows = 16;  // rows of the matrix in an AMX tile
constexpr int64_t kTileColumns = 32;
constexpr int64_t kTermBytes = 512;  // one term of each kept entry of a tile

/// The number of bfloat16 terms of an entry; 0 for kinds without tiles.
constexpr int64_t terms_of(PanelKind kind) {
  return kind == PanelKind::kBfloat16Tiles  ? 1
         : kind == PanelKind::kFloat16Tiles ? 2
         : kind == PanelKind::kFloatTiles   ? 3
                                            : 0;
}
constexpr int64_t packed_tile_bytes(int64_t terms) { return 64 + terms * kTermBytes; }

class Panel24 {
 public:
  Panel24() = default;
  /// All zeros.
  Panel24(PanelKind kind, int64_t rows, int64_t columns);

  PanelKind kind() const { return kind_; }
  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  int64_t groups() const { return (columns_ + 3) / 4; }
  int64_t quads() const { return (rows_ + kQuad - 1) / kQuad; }
  int64_t blocks() const { return (groups() + kBlockGroups - 1) / kBlockGroups; }
  int64_t terms() const { return terms_of(kind_); }
  int64_t row_tiles() const { return (rows_ + 2 * kTileRows - 1) / (2 * kTileRows) * 2; }
  int64_t column_tiles() const { return (columns_ + kTileColumns - 1) / kTileColumns; }
  int64_t bytes() const {
    return terms()             ? row_tiles() * column_tiles() * packed_tile_bytes(terms())
           : has_strips(kind_) ? strips() * strip_bytes()
                               : blocks() * quads() * kQuadBytes;
  }
  const std::byte* data() const { return memory_.data(); }

  int64_t strips() const { return (rows_ + kStripRows - 1) / kStripRows; }
  int64_t chunks() const {
    return (columns_ + columns_of_chunk(kind_) - 1) / columns_of_chunk(kind_);
  }
  int64_t strip_bytes() const { return chunks() * kChunkBytes; }
  std::byte* chunk(int64_t strip, int64_t chunk) {
    return memory_.data() + strip * strip_bytes() + chunk * kChunkBytes;
  }
  const std::byte* chunk(int64_t strip, int64_t chunk) const {
    return memory_.data() + strip * strip_bytes() + chunk * kChunkBytes;
  }

  /// An AMX tile. The two of a pair of row tiles are adjacent; pairs of the next columns follow.
  std::byte* tile(int64_t row_tile, int64_t column_tile) {
    return memory_.data() + tile_offset(row_tile, column_tile);
  }
  const std::byte* tile(int64_t row_tile, int64_t column_tile) const {
    return memory_.data() + tile_offset(row_tile, column_tile);
  }

  uint32_t* words(int64_t block, int64_t quad) {
    return reinterpret_cast<uint32_t*>(memory_.data() + quad_offset(block, quad));
  }
  uint16_t* offsets(int64_t block, int64_t quad) {
    return reinterpret_cast<uint16_t*>(words(block, quad) + kQuadWords);
  }
  const uint32_t* words(int64_t block, int64_t quad) const {
    return reinterpret_cast<const uint32_t*>(memory_.data() + quad_offset(block, quad));
  }
  const uint16_t* offsets(int64_t block, int64_t quad) const {
    return reinterpret_cast<const uint16_t*>(words(block, quad) + kQuadWords);
  }

 private:
  static constexpr int64_t kQuadWords = kBlockGroups * 2 * kQuad;
  static constexpr int64_t kQuadBytes = kQuadWords * 6;
  int64_t quad_offset(int64_t block, int64_t quad) const {
    return (block * quads() + quad) * kQuadBytes;
  }
  int64_t tile_offset(int64_t row_tile, int64_t column_tile) const {
    const int64_t pair = row_tile / 2 * column_tiles() + column_tile;
    return (2 * pair + row_tile % 2) * packed_tile_bytes(terms());
  }

  PanelKind kind_ = PanelKind::kFloat;
  int64_t rows_ = 0, columns_ = 0;
  Buffer<std::byte> memory_;
};

/// The kind with the fastest products of T under instruction_set().
template <class T>
PanelKind panel_kind();
template <>
PanelKind panel_kind<float>();
template <>
PanelKind panel_kind<bfloat16>();
template <>
PanelKind panel_kind<float16>();

/// Fills `panel` [rows, columns] of kind panel_kind<T>() from the nonzero entries of weight, rows
/// `stride` apart. Throws Error like pack24; the panel's content is then undefined.
template <class T>
void fill_panel(const T* weight, int64_t stride, Panel24& panel);

/// The same from weight transposed: panel [rows, columns] of weight [columns, rows], which must be
/// 2:4 along its columns, as from a transposable mask. Kinds with tiles also accept 2:4 along rows,
/// so that even S-STE's input gradient reads half of the entries.
template <class T>
void fill_panel_transposed(const T* weight, int64_t stride, Panel24& panel);

/// The MVUE of dz [tokens, features] as a panel [features, tokens], the operand of dW = MVUE(dz)ᵀ
/// x. The draws equal those of mvue24.
template <class T>
void fill_panel_mvue(const T* dz, int64_t stride, const RandomStream& stream, Panel24& panel);

}  // namespace twofour::kernels
