// Transposes and conversions for the AVX-512 files.
#pragma once

#include <cstdint>

#include <immintrin.h>

#include "twofour/kernels/types.h"

namespace twofour::kernels {
namespace {

// Transposes the 16 x 16 matrix of 32-bit words in rows[0..15] in place.
inline void transpose16(__m512i (&rows)[16]) {
  __m512i t[16];
  for (int i = 0; i < 8; ++i) {
    t[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
    t[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
  }
  for (int i = 0; i < 4; ++i) {
    rows[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
    rows[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
    rows[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
    rows[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(rows[i], rows[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(rows[i], rows[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(rows[i + 8], rows[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(rows[i + 8], rows[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; ++i) {
    rows[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    rows[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    rows[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    rows[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
  }
}

constexpr int kAndThenOr = 0xea;  // for ternary logic: (a & b) | c

// Entry i of 16 groups of four.
struct Groups16 {
  __m512 entry[4];
};

inline __mmask16 first_lanes(int64_t count) {
  return static_cast<__mmask16>(count >= 16 ? 0xffffu : (1u << (count < 0 ? 0 : count)) - 1u);
}

inline __mmask32 first_of_32_lanes(int64_t count) {
  return count >= 32 ? 0xffffffffu : (1u << (count < 0 ? 0 : count)) - 1u;
}

// Four rows of 32 bfloat16, only those of `lanes`; rows beyond `rows` are 0 and not read.
inline void load_bfloat16_rows(const bfloat16* in, int64_t rows, __mmask32 lanes, int64_t stride,
                               __m512i (&x)[4]) {
  for (int64_t r = 0; r < 4; ++r) {
    x[r] = _mm512_maskz_loadu_epi16(r < rows ? lanes : 0, in + r * stride);
  }
}

// 16 values as float32, only those of `mask`; the others are 0 and not read.
inline __m512 load_floats(const float* x, __mmask16 mask) { return _mm512_maskz_loadu_ps(mask, x); }
inline __m512 load_floats(const bfloat16* x, __mmask16 mask) {
  const __m256i bits = _mm256_maskz_loadu_epi16(mask, x);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}
inline __m512 load_floats(const float16* x, __mmask16 mask) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, x));
}

inline void store_floats(__m512 value, float* y, __mmask16 mask) {
  _mm512_mask_storeu_ps(y, mask, value);
}
// To nearest even, NaN quiet, like store().
inline __m256i round_to_bfloat16(__m512 value) {
  const __m512i bits = _mm512_castps_si512(value);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const __mmask16 nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
  rounded = _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x400000));
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16));
}
inline void store_floats(__m512 value, bfloat16* y, __mmask16 mask) {
  _mm256_mask_storeu_epi16(y, mask, round_to_bfloat16(value));
}
inline void store_floats(__m512 value, float16* y, __mmask16 mask) {
  _mm256_mask_storeu_epi16(y, mask, _mm512_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT));
}

}  // namespace
}  // namespace twofour::kernels
