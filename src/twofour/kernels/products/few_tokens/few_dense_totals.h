// The sums over the lanes of the vectors of one row, or of four. Everything has internal linkage.
#pragma once

#include <cstddef>

#include <immintrin.h>

namespace twofour::kernels {
namespace {

inline void store_totals(const __m256 (&sums)[4], float* out) {
  const __m256 quarters =
      _mm256_hadd_ps(_mm256_hadd_ps(sums[0], sums[1]), _mm256_hadd_ps(sums[2], sums[3]));
  _mm_storeu_ps(out,
                _mm_add_ps(_mm256_castps256_ps128(quarters), _mm256_extractf128_ps(quarters, 1)));
}

inline void store_totals(const __m256 (&sums)[1], float* out) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(sums[0]), _mm256_extractf128_ps(sums[0], 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  *out = _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

#if defined(__AVX512F__)
template <size_t kRows>
void store_totals(const __m512 (&sums)[kRows], float* out) {
  __m256 halves[kRows];
  for (size_t r = 0; r < kRows; ++r) {
    halves[r] = _mm256_add_ps(_mm512_castps512_ps256(sums[r]), _mm512_extractf32x8_ps(sums[r], 1));
  }
  store_totals(halves, out);
}
#endif

}  // namespace
}  // namespace twofour::kernels
