// float32, float16 and bfloat16 values as sums of bfloat16 terms, 16 lanes at a time.
#pragma once

#include "twofour/kernels/simd/avx512.h"

namespace twofour::kernels {
namespace {

template <class T>
constexpr int kTerms = 1;
template <>
constexpr int kTerms<float16> = 2;
template <>
constexpr int kTerms<float> = 3;

// The terms of 16 values, each in the upper half of its word. Each term is the nearest bfloat16 of
// the remainder, so the error of three terms is small and of either sign. It is truncated where
// rounding would make a finite value infinite. An infinity has one term, or the rest would be NaN.
class Terms {
 public:
  explicit Terms(__m512 values) : rest_(values) {}

  /// Term 0, 1, 2 in order.
  __m512i take(int number) {
    const __m512i bits = _mm512_castps_si512(rest_);
    const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000));
    const __m512i half = _mm512_set1_epi32(0x8000);
    if (number > 0) {  // the remainder is finite and small
      const __m512i term = _mm512_and_si512(_mm512_add_epi32(bits, half), upper);
      rest_ = _mm512_sub_ps(rest_, _mm512_castsi512_ps(term));
      return term;
    }
    const __m512i size = _mm512_and_si512(bits, _mm512_set1_epi32(0x7fffffff));
    const __mmask16 small = _mm512_cmplt_epu32_mask(size, _mm512_set1_epi32(0x7f7f8000));
    const __m512i term = _mm512_and_si512(_mm512_mask_add_epi32(bits, small, bits, half), upper);
    const __mmask16 finite = _mm512_cmplt_epu32_mask(size, _mm512_set1_epi32(0x7f800000));
    rest_ = _mm512_maskz_sub_ps(finite, rest_, _mm512_castsi512_ps(term));
    return term;
  }

 private:
  __m512 rest_;
};

// A NaN with the upper half of an infinity would lose its payload.
inline __m512 quiet(__m512 value) {
  const __mmask16 nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
  return _mm512_castsi512_ps(_mm512_mask_or_epi32(
      _mm512_castps_si512(value), nan, _mm512_castps_si512(value), _mm512_set1_epi32(0x400000)));
}

// The upper halves of a's words, then of b's.
inline __m512i upper_halves(__m512i a, __m512i b) {
  const __m256i low = _mm512_cvtepi32_epi16(_mm512_srli_epi32(a, 16));
  const __m256i high = _mm512_cvtepi32_epi16(_mm512_srli_epi32(b, 16));
  return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

inline __m512i interleave(__m512i even, __m512i odd) {
  return _mm512_or_si512(_mm512_srli_epi32(even, 16), odd);
}

}  // namespace
}  // namespace twofour::kernels
