// Panels for vectors over tokens, filled 16 rows at a time.
#pragma once

#include <cstring>

#include "twofour/kernels/mvue24_avx512.h"

namespace twofour::kernels {
namespace {

// Which of 16 rows keep each of four columns: what is not zero.
struct Kept16 {
  __mmask16 column[4];
};

inline Kept16 kept_of(const Drawn16& group) {
  Kept16 kept;
  for (int i = 0; i < 4; ++i) {
    const __m512i bits = _mm512_castps_si512(group.entry[i]);
    kept.column[i] = _mm512_test_epi32_mask(bits, _mm512_set1_epi32(0x7fffffff));
  }
  return kept;
}

// True if one of 16 rows keeps more than two of the four.
inline bool keeps_more_than_two(const Kept16& kept) {
  const auto& k = kept.column;
  const uint32_t one = k[0] ^ k[1], other = k[2] ^ k[3], both = k[0] & k[1], others = k[2] & k[3];
  return ((both & (other | others)) | (others & one)) != 0;
}

// Calls group(first column, the four columns) for every group of 16 rows of weight.
template <class T, class Fn>
void for_groups_of_rows(const T* weight, int64_t stride, int64_t row, const Panel24& panel,
                        Fn&& group) {
  for (int64_t column = 0; column < panel.columns(); column += 16) {
    const __mmask16 mask = first_lanes(panel.columns() - column);
    __m512i block[16];
    for (int64_t i = 0; i < 16; ++i) {
      const bool present = row + i < panel.rows();
      block[i] = _mm512_castps_si512(
          load_floats(weight + (present ? (row + i) * stride + column : 0), present ? mask : 0));
    }
    transpose16(block);
    for (int64_t g = 0; g < 4 && column + 4 * g < panel.columns(); ++g) {
      Drawn16 columns;
      for (int64_t i = 0; i < 4; ++i) columns.entry[i] = _mm512_castsi512_ps(block[4 * g + i]);
      group(column + 4 * g, columns);
    }
  }
}

// Group g of a row strip. Returns false, and writes what is undefined, if it is not 2:4.
template <class T>
bool store_group_of_strip(const Drawn16& group, int64_t row, int64_t g, Panel24& panel) {
  store_drawn<T>(group, row, g % kBlockGroups, g / kBlockGroups, panel);
  return !keeps_more_than_two(kept_of(group));
}

template <class T>
bool fill_strip_avx512(const T* weight, int64_t stride, int64_t row, Panel24& panel) {
  bool good = true;
  for_groups_of_rows(weight, stride, row, panel, [&](int64_t column, const Drawn16& group) {
    good &= store_group_of_strip<T>(group, row, column / 4, panel);
  });
  return good;
}

template <class T>
bool fill_strip_transposed_avx512(const T* weight, int64_t stride, int64_t row, Panel24& panel) {
  bool good = true;
  const __mmask16 mask = first_lanes(panel.rows() - row);
  for (int64_t column = 0; column < panel.columns(); column += 4) {
    Drawn16 group;
    for (int64_t i = 0; i < 4; ++i) {
      group.entry[i] = load_floats(weight + (column + i) * stride + row, mask);
    }
    good &= store_group_of_strip<T>(group, row, column / 4, panel);
  }
  return good;
}

}  // namespace
}  // namespace twofour::kernels
