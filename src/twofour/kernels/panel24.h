// A 2:4 sparse matrix in the order in which the product of many tokens reads it: made anew whenever
// the weight changes, never stored.
//
// The product runs over blocks of 16 groups (64 columns). Of a block, four rows (a quad) lie
// together as `steps`; a step holds one 32-bit word of each of the four rows, then, after all
// words, one 16-bit offset of each:
//   kFloat           two steps a group; the word is a kept float32, the offset where its column
//   lies
//                    in the tile: position * kSlotBytes;
//   kBfloat16Pairs   one step a group; the word is the two kept bfloat16, the offset is that of
//                    their pair of columns: the tile holds all six pairs of a group.
// Rows are filled up to a multiple of 4 and groups to a multiple of 16 with zeros.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "twofour/base/random.h"
#include "twofour/kernels/types.h"

namespace twofour::kernels {

enum class PanelKind { kFloat, kBfloat16Pairs };

constexpr int64_t kQuad = 4;          // rows that a kernel computes at once
constexpr int64_t kBlockGroups = 16;  // groups of a block
constexpr int64_t kTileTokens = 64;   // tokens of a tile
constexpr int64_t kSlotBytes = 256;   // one column, or one pair of columns, of a tile

constexpr int64_t steps_per_group(PanelKind kind) { return kind == PanelKind::kFloat ? 2 : 1; }
constexpr int64_t slots_per_group(PanelKind kind) { return kind == PanelKind::kFloat ? 4 : 6; }

/// The index of the pair (first, second) among 01, 02, 03, 12, 13, 23.
TWOFOUR_HOST_DEVICE uint32_t pair_index(uint32_t first, uint32_t second) {
  return 2 * first + second - 1 - (first == 2);
}

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
  int64_t bytes() const { return blocks() * quads() * chunk_bytes(); }

  uint32_t* words(int64_t block, int64_t quad) {
    return reinterpret_cast<uint32_t*>(chunk(block, quad));
  }
  uint16_t* offsets(int64_t block, int64_t quad) {
    return reinterpret_cast<uint16_t*>(chunk(block, quad) + word_bytes());
  }
  const uint32_t* words(int64_t block, int64_t quad) const {
    return reinterpret_cast<const uint32_t*>(chunk(block, quad));
  }
  const uint16_t* offsets(int64_t block, int64_t quad) const {
    return reinterpret_cast<const uint16_t*>(chunk(block, quad) + word_bytes());
  }

 private:
  struct Free {
    void operator()(std::byte* memory) const;
  };
  int64_t word_bytes() const { return kBlockGroups * steps_per_group(kind_) * kQuad * 4; }
  int64_t chunk_bytes() const { return word_bytes() * 3 / 2; }
  std::byte* chunk(int64_t block, int64_t quad) const {
    return memory_.get() + (block * quads() + quad) * chunk_bytes();
  }

  PanelKind kind_ = PanelKind::kFloat;
  int64_t rows_ = 0, columns_ = 0;
  std::unique_ptr<std::byte, Free> memory_;
};

/// The kind that products of T are fastest with under instruction_set().
template <class T>
PanelKind panel_kind();

/// Fills `panel` [rows, columns] of kind panel_kind<T>() from weight, rows `stride` apart, by its
/// entries that are not zero. Throws Error as pack24 does; then the panel's content is undefined.
template <class T>
void fill_panel(const T* weight, int64_t stride, Panel24& panel);

/// The same from weight transposed: panel [rows, columns] of weight [columns, rows], which must be
/// 2:4 along its columns, as a transposable mask makes it.
template <class T>
void fill_panel_transposed(const T* weight, int64_t stride, Panel24& panel);

/// The MVUE of dz [tokens, features] as a panel [features, tokens]: what dW = MVUE(dz)ᵀ x reads.
/// The same draws as mvue24.
template <class T>
void fill_panel_mvue(const T* dz, int64_t stride, const RandomStream& stream, Panel24& panel);

}  // namespace twofour::kernels
