// Writes kept entries of groups to a panel: the quads of vectors over tokens, or strips.
#pragma once

#include <cstring>

#include "twofour/kernels/products/many_tokens/panel24.h"
#include "twofour/kernels/products/many_tokens/panel24_kept_avx512.h"

namespace twofour::kernels {
namespace {

// Four quads of one step.
inline void store_quads(__m512i words, __m512i offsets, int64_t step, int64_t quad, int64_t quads,
                        int64_t block, Panel24& panel) {
  alignas(64) uint32_t word[16];
  alignas(32) uint16_t offset[16];
  _mm512_store_si512(word, words);
  _mm256_store_si256(reinterpret_cast<__m256i*>(offset), _mm512_cvtepi32_epi16(offsets));
  for (int64_t i = 0; i < quads; ++i) {
    std::memcpy(panel.words(block, quad + i) + step * kQuad, word + i * kQuad, 4 * kQuad);
    std::memcpy(panel.offsets(block, quad + i) + step * kQuad, offset + i * kQuad, 2 * kQuad);
  }
}

// store_group for 16 rows of a panel of quads.
inline void store_in_quads(const Kept& group, int64_t row, int64_t g, int64_t block,
                           Panel24& panel) {
  const int64_t quad = row / kQuad, left = panel.quads() - quad, quads = left < 4 ? left : 4;
  store_quads(group.one, _mm512_slli_epi32(group.first, 8), 2 * g, quad, quads, block, panel);
  store_quads(group.two, _mm512_slli_epi32(group.second, 8), 2 * g + 1, quad, quads, block, panel);
}

// A chunk of a strip, filled group by group from the first.
class ChunkWriter {
 public:
  explicit ChunkWriter(std::byte* chunk) : chunk_(chunk) {}
  ~ChunkWriter() { _mm512_store_si512(chunk_ + kChunkWordBytes, positions_); }

  // Adds a group of 16 rows of float32 entries.
  void add_floats(const Kept& group) {
    const __m512i column = _mm512_set1_epi32(static_cast<int>(2 * step_));
    add_step(group.one, _mm512_or_si512(group.first, column), 4);
    add_step(group.two, _mm512_or_si512(group.second, column), 4);
  }
  // The same as pairs of bfloat16; the entries are already rounded.
  void add_as_pairs(const Kept& group) {
    add_pairs(_mm512_or_si512(_mm512_srli_epi32(group.one, 16), group.two),
              _mm512_or_si512(group.first, _mm512_slli_epi32(group.second, 16)));
  }
  void add_pairs(__m512i words, __m512i positions) { add_step(words, positions, 2); }

 private:
  void add_step(__m512i words, __m512i positions, int64_t bits) {
    _mm512_store_si512(chunk_ + 64 * step_, words);
    positions_ =
        _mm512_or_si512(positions_, _mm512_sll_epi32(positions, _mm_cvtsi64_si128(bits * step_)));
    ++step_;
  }

  std::byte* chunk_;
  int64_t step_ = 0;
  __m512i positions_ = _mm512_setzero_si512();
};

// Chunk `chunk` of the 32 rows from `row` on: two strips, the second of which may not exist.
class ChunkPair {
 public:
  ChunkPair(Panel24& panel, int64_t row, int64_t chunk)
      : first_(panel.chunk(row / kStripRows, chunk)),
        second_(row / kStripRows + 1 < panel.strips() ? panel.chunk(row / kStripRows + 1, chunk)
                                                      : unused_) {}

  ChunkWriter& operator[](int64_t part) { return part == 0 ? first_ : second_; }
  // Adds a group of 32 rows of bfloat16.
  void add(const Kept& group) {
    first_.add_pairs(side_by_side(group.one, group.two, false),
                     side_by_side(group.first, group.second, false));
    second_.add_pairs(side_by_side(group.one, group.two, true),
                      side_by_side(group.first, group.second, true));
  }

 private:
  // a and b of a row in one word, for the first or the last 16 rows.
  static __m512i side_by_side(__m512i a, __m512i b, bool last) {
    const __m512i order = last ? _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15)
                               : _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    return _mm512_permutex2var_epi64(_mm512_unpacklo_epi16(a, b), order,
                                     _mm512_unpackhi_epi16(a, b));
  }

  alignas(64) std::byte unused_[kChunkBytes];
  ChunkWriter first_, second_;
};

}  // namespace
}  // namespace twofour::kernels
