// Fills panels for vectors over tokens, 16 rows at a time.
#pragma once

#include "twofour/kernels/products/many_tokens/panel24_write_avx512.h"

namespace twofour::kernels {
namespace {

inline __mmask16 not_zero(__m512 values) {
  return _mm512_test_epi32_mask(_mm512_castps_si512(values), _mm512_set1_epi32(0x7fffffff));
}

// The rows, as bits, that keep more than two of four columns; a, b, c, d are the rows that keep
// each column.
inline uint32_t too_many(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  const uint32_t both = a & b, others = c & d;
  return (both & (c | d)) | (others & (a | b));
}

// Calls group(first column, the four columns) for every group of 16 of the weight's rows.
template <class T, class Fn>
void for_groups_of_rows(const T* weight, int64_t stride, int64_t row, int64_t rows, int64_t columns,
                        Fn&& group) {
  for (int64_t column = 0; column < columns; column += 16) {
    const __mmask16 mask = first_lanes(columns - column);
    __m512i block[16];
    for (int64_t i = 0; i < 16; ++i) {
      const bool present = row + i < rows;
      block[i] = _mm512_castps_si512(
          load_floats(weight + (present ? (row + i) * stride + column : 0), present ? mask : 0));
    }
    transpose16(block);
    for (int64_t g = 0; g < 4 && column + 4 * g < columns; ++g) {
      Groups16 four;
      for (int64_t i = 0; i < 4; ++i) four.entry[i] = _mm512_castsi512_ps(block[4 * g + i]);
      group(column + 4 * g, four);
    }
  }
}

inline bool is_24(const Groups16& group) {
  const auto& e = group.entry;
  return too_many(not_zero(e[0]), not_zero(e[1]), not_zero(e[2]), not_zero(e[3])) == 0;
}

// Fills rows `row` to `row` + 15 of a panel of quads. Returns false, with undefined content, if a
// group is not 2:4.
template <class T>
bool store_group_of_strip(const Groups16& group, int64_t row, int64_t g, Panel24& panel) {
  store_in_quads(kept_of_16_rows<T>(group), row, g % kBlockGroups, g / kBlockGroups, panel);
  return is_24(group);
}

template <class T>
bool fill_strip_avx512(const T* weight, int64_t stride, int64_t row, Panel24& panel) {
  bool good = true;
  for_groups_of_rows(weight, stride, row, panel.rows(), panel.columns(),
                     [&](int64_t column, const Groups16& group) {
                       good &= store_group_of_strip<T>(group, row, column / 4, panel);
                     });
  return good;
}

template <class T>
bool fill_strip_transposed_avx512(const T* weight, int64_t stride, int64_t row, Panel24& panel) {
  bool good = true;
  const __mmask16 mask = first_lanes(panel.rows() - row);
  for (int64_t column = 0; column < panel.columns(); column += 4) {
    Groups16 group;
    for (int64_t i = 0; i < 4; ++i) {
      group.entry[i] = load_floats(weight + (column + i) * stride + row, mask);
    }
    good &= store_group_of_strip<T>(group, row, column / 4, panel);
  }
  return good;
}

}  // namespace
}  // namespace twofour::kernels
