// The kept entries of groups of 2:4 rows, 16 or 32 rows at a time.
#pragma once

#include "twofour/kernels/simd/avx512.h"

namespace twofour::kernels {
namespace {

// Rounded to T, as float32.
inline __m512i rounded_words(__m512 value, float) { return _mm512_castps_si512(value); }
inline __m512i rounded_words(__m512 value, bfloat16) {
  return _mm512_slli_epi32(_mm512_cvtepu16_epi32(round_to_bfloat16(value)), 16);
}
inline __m512i rounded_words(__m512 value, float16) {
  return _mm512_castps_si512(_mm512_cvtph_ps(_mm512_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT)));
}

// The two kept entries and their places in a group of 16 or 32 rows.
struct Kept {
  __m512i one, two, first, second;
};

// The places of the two kept entries of four, for as many rows as Mask has bits: the first is at 0,
// 1 or else 2, the second at 3, 2 or else 1.
template <class Mask>
struct KeptPlaces {
  explicit KeptPlaces(const Mask (&kept)[4])
      : first0(kept[0]),
        first1(static_cast<Mask>(kept[1] & ~first0)),
        second3(static_cast<Mask>(kept[3] | ~(first0 | first1))),
        second2(static_cast<Mask>(~second3 & (kept[2] | first1))) {}
  Mask first0, first1, second3, second2;
};

// The same for 32 rows of bfloat16, entry i of each.
inline Kept kept_of_32_rows(const __m512i (&entry)[4]) {
  const auto number = [](int i) { return _mm512_set1_epi16(static_cast<int16_t>(i)); };
  const auto either = [](__mmask32 first, __m512i a, __m512i b) {
    return _mm512_mask_blend_epi16(first, b, a);
  };
  __mmask32 kept[4];
  for (int i = 0; i < 4; ++i) kept[i] = _mm512_test_epi16_mask(entry[i], number(0x7fff));
  const KeptPlaces<__mmask32> at(kept);
  return {either(at.first0, entry[0], either(at.first1, entry[1], entry[2])),
          either(at.second3, entry[3], either(at.second2, entry[2], entry[1])),
          either(at.first0, number(0), either(at.first1, number(1), number(2))),
          either(at.second3, number(3), either(at.second2, number(2), number(1)))};
}

// places_of_pair for 16 rows; the entries are rounded to T, as float32.
template <class T>
Kept kept_of_16_rows(const Groups16& drawn) {
  const auto number = [](int i) { return _mm512_set1_epi32(i); };
  const auto either = [](__mmask16 first, __m512i a, __m512i b) {
    return _mm512_mask_mov_epi32(b, first, a);
  };
  __mmask16 kept[4];
  __m512i entry[4];
  for (int i = 0; i < 4; ++i) {
    kept[i] = _mm512_cmp_ps_mask(drawn.entry[i], _mm512_setzero_ps(), _CMP_NEQ_UQ);
    entry[i] = _mm512_castps_si512(drawn.entry[i]);
  }
  const KeptPlaces<__mmask16> at(kept);
  const __m512i one = either(at.first0, entry[0], either(at.first1, entry[1], entry[2]));
  const __m512i two = either(at.second3, entry[3], either(at.second2, entry[2], entry[1]));
  return {rounded_words(_mm512_castsi512_ps(one), T{}),
          rounded_words(_mm512_castsi512_ps(two), T{}),
          either(at.first0, number(0), either(at.first1, number(1), number(2))),
          either(at.second3, number(3), either(at.second2, number(2), number(1)))};
}

}  // namespace
}  // namespace twofour::kernels
