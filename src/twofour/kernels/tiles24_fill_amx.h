// Panels of tiles: lines of 16 rows x 2 columns, of which the entries that are not zero are kept.
#pragma once

#include <cstring>

#include "twofour/kernels/mvue24_avx512.h"
#include "twofour/kernels/panel24_fill_avx512.h"
#include "twofour/kernels/terms_amx.h"
#include "twofour/kernels/tiles24.h"

namespace twofour::kernels {
namespace {

inline uint32_t spread(__mmask16 even, __mmask16 odd) {
  return _pdep_u32(even, 0x55555555u) | _pdep_u32(odd, 0xaaaaaaaau);
}

// Writes group g, two lines, of a tile. Returns false, and writes nothing, if more than 32 entries
// are kept; with `strict`, if a row keeps more than two.
template <class T>
bool store_group16(Drawn16 group, int64_t g, std::byte* tile, bool strict) {
  for (__m512& entry : group.entry) entry = quiet(entry);
  const Kept16 kept = kept_of(group);
  const uint32_t even = spread(kept.column[0], kept.column[1]);
  const uint32_t odd = spread(kept.column[2], kept.column[3]);
  const int first = __builtin_popcount(even), second = __builtin_popcount(odd);
  if (strict ? keeps_more_than_two(kept) : first + second > 32) return false;
  std::memcpy(tile + 8 * g, &even, 4);
  std::memcpy(tile + 8 * g + 4, &odd, 4);
  for (int term = 0; term < kTerms<T>; ++term) {
    std::byte* out = tile + 64 + term * kTermBytes + 64 * g;
    const __m512i a = take_term(group.entry[0]), b = take_term(group.entry[1]);
    const __m512i c = take_term(group.entry[2]), d = take_term(group.entry[3]);
    _mm512_storeu_si512(out, _mm512_maskz_compress_epi16(even, interleave(a, b)));
    _mm512_mask_storeu_epi16(out + 2 * first, static_cast<__mmask32>((uint64_t{1} << second) - 1),
                             _mm512_maskz_compress_epi16(odd, interleave(c, d)));
  }
  return true;
}

template <class T>
bool fill(const T* weight, int64_t stride, int64_t pair, Panel24& panel) {
  bool good = true;
  for (int64_t row_tile = 2 * pair; row_tile < 2 * pair + 2; ++row_tile) {
    for_groups_of_rows(
        weight, stride, row_tile * kTileRows, panel, [&](int64_t column, const Drawn16& group) {
          good &= store_group16<T>(group, column % kTileColumns / 4,
                                   panel.tile(row_tile, column / kTileColumns), true);
        });
  }
  return good;
}

constexpr int64_t kAhead = 32;  // rows: they lie too far apart for the hardware to foresee them

template <class T>
inline void fetch_rows(const T* in, int64_t row, int64_t rows, int64_t stride) {
  for (int64_t r = row; r < row + 4 && r < rows; ++r) {
    _mm_prefetch(reinterpret_cast<const char*>(in + r * stride), _MM_HINT_T0);
    if constexpr (sizeof(T) == 4) {
      _mm_prefetch(reinterpret_cast<const char*>(in + r * stride + 16), _MM_HINT_T0);
    }
  }
}

template <class T>
bool fill_transposed(const T* weight, int64_t stride, int64_t pair, Panel24& panel) {
  bool good = true;
  const int64_t row = 2 * pair * kTileRows;
  for (int64_t column = 0; column < panel.columns(); column += 4) {
    fetch_rows(weight + row, column + kAhead, panel.columns(), stride);
    for (int64_t half = 0; half < 2; ++half) {
      const int64_t first = row + half * kTileRows;
      const __mmask16 mask = first_lanes(panel.rows() - first);
      Drawn16 group;
      for (int64_t i = 0; i < 4; ++i) {
        group.entry[i] = load_floats(mask ? weight + (column + i) * stride + first : weight, mask);
      }
      good &= store_group16<T>(group, column % kTileColumns / 4,
                               panel.tile(2 * pair + half, column / kTileColumns), false);
    }
  }
  return good;
}

// Two lines of bfloat16 pairs, that is one group of four columns of 16 rows, into group g of a
// tile.
inline void store_lines(__m512i even, __m512i odd, int64_t g, std::byte* tile) {
  const __m512i size = _mm512_set1_epi16(0x7fff);
  const uint32_t masks[2] = {_mm512_test_epi16_mask(even, size), _mm512_test_epi16_mask(odd, size)};
  const int first = __builtin_popcount(masks[0]), second = __builtin_popcount(masks[1]);
  std::byte* out = tile + 64 + 64 * g;
  std::memcpy(tile + 8 * g, masks, sizeof masks);
  _mm512_storeu_si512(out, _mm512_maskz_compress_epi16(masks[0], even));
  _mm512_mask_storeu_epi16(out + 2 * first, static_cast<__mmask32>((uint64_t{1} << second) - 1),
                           _mm512_maskz_compress_epi16(masks[1], odd));
}

// One group of four tokens of up to 32 features, into both tiles of a pair.
template <class T>
void fill_mvue_group(const T* in, int64_t tokens, int64_t features, int64_t stride,
                     const PhiloxLanes& numbers, int64_t g, std::byte* const (&tiles)[2]) {
  const Uniforms32 u = uniforms_in_order(numbers);
  for (int64_t half = 0; half < 2 && 16 * half < features; ++half) {
    const Drawn16 drawn = draw_columns<Mvue::kApproximate>(
        in + 16 * half, tokens, features - 16 * half, stride, u.part[half]);
    Drawn16 group;
    for (int i = 0; i < 4; ++i) {
      group.entry[i] = _mm512_castsi512_ps(rounded_words(drawn.entry[i], T{}));
    }
    store_group16<T>(group, g, tiles[half], false);
  }
}

// bfloat16 is drawn 32 features at a time, as rows, which are interleaved afterwards.
inline void fill_mvue_group(const bfloat16* in, int64_t tokens, int64_t features, int64_t stride,
                            const PhiloxLanes& numbers, int64_t g, std::byte* const (&tiles)[2]) {
  alignas(64) bfloat16 rows[4][32];
  if (tokens < 4 || features < 32) std::memset(rows, 0, sizeof rows);
  mvue32<Mvue::kApproximate>(in, tokens < 4 ? tokens : 4, features, stride, numbers, 32, rows[0]);
  for (int64_t half = 0; half < 2; ++half) {
    __m512i words[4];
    for (int i = 0; i < 4; ++i) {
      const void* row = rows[i] + 16 * half;
      words[i] = _mm512_cvtepu16_epi32(_mm256_load_si256(static_cast<const __m256i*>(row)));
    }
    store_lines(_mm512_or_si512(words[0], _mm512_slli_epi32(words[1], 16)),
                _mm512_or_si512(words[2], _mm512_slli_epi32(words[3], 16)), g, tiles[half]);
  }
}

// 32 features at a time: those of eight Philox blocks.
template <class T>
void fill_mvue(const T* dz, int64_t stride, const RandomStream& stream, int64_t pair,
               Panel24& panel) {
  const PhiloxRounds rounds(stream);
  const uint32_t group_stride = mvue24_group_stride(panel.rows());
  const int64_t row = 2 * pair * kTileRows;
  for (int64_t token = 0; token < panel.columns(); token += 4) {
    fetch_rows(dz + row, token + kAhead, panel.columns(), stride);
    const uint32_t number =
        static_cast<uint32_t>(token / 4) * group_stride + static_cast<uint32_t>(row);
    std::byte* const tiles[2] = {panel.tile(2 * pair, token / kTileColumns),
                                 panel.tile(2 * pair + 1, token / kTileColumns)};
    fill_mvue_group(dz + token * stride + row, panel.columns() - token, panel.rows() - row, stride,
                    philox8(rounds, number / 4), token % kTileColumns / 4, tiles);
  }
}

}  // namespace
}  // namespace twofour::kernels
