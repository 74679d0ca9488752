// The transposing store of the AVX-512 files: 16 x 16 sums at a time.
#pragma once

#include "twofour/kernels/products/many_tokens/product24_generic.h"
#include "twofour/kernels/simd/avx512.h"

namespace twofour::kernels {
namespace {

// e^x, relative error under 3e-7; overflows to infinity and underflows to 0 as it should.
inline __m512 exponential16(__m512 x) {
  const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)),
                                        _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
  r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
  __m512 p = _mm512_set1_ps(1.0f / 720);
  for (const float c : {1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f}) {
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(c));
  }
  // r is NaN where x is infinite.
  p = _mm512_mask_mov_ps(p, _mm512_fpclass_ps_mask(x, 0x18), _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(p, n);
}

// z / (1 + e^-v).
inline __m512 times_logistic(__m512 z, __m512 v) {
  const __m512 e = exponential16(_mm512_sub_ps(_mm512_setzero_ps(), v));
  return _mm512_div_ps(z, _mm512_add_ps(_mm512_set1_ps(1.0f), e));
}

inline __m512 activate16(__m512 z, Activation activation, __m512 other) {
  if (activation == Activation::kGelu) {  // (1 + tanh u) / 2 is the logistic function of 2 u
    const __m512 cube = _mm512_mul_ps(_mm512_mul_ps(z, z), z);
    const __m512 inner = _mm512_fmadd_ps(cube, _mm512_set1_ps(0.044715f), z);
    return times_logistic(z, _mm512_mul_ps(inner, _mm512_set1_ps(2 * 0.7978845608f)));
  }
  if (activation == Activation::kSiluTimes) {
    return _mm512_mul_ps(times_logistic(other, other), z);
  }
  return z;
}

template <class T>
void store_transposed_avx512(const float* c, int64_t rows, int64_t tokens, T* y, int64_t stride,
                             const Epilogue<T>& epilogue) {
  for (int64_t t = 0; t < tokens; t += 16) {
    for (int64_t r = 0; r < rows; r += 16) {
      const __mmask16 mask = first_lanes(rows - r);
      __m512i block[16];
      for (int64_t i = 0; i < 16; ++i) {
        block[i] =
            _mm512_maskz_loadu_epi32(r + i < rows ? 0xffff : 0, c + (r + i) * kTileTokens + t);
      }
      transpose16(block);
      const int64_t left = tokens - t < 16 ? tokens - t : 16;
      for (int64_t i = 0; i < left; ++i) {
        const int64_t token = t + i;
        const __m512 other =
            epilogue.other ? load_floats(epilogue.other + token * epilogue.other_stride + r, mask)
                           : _mm512_setzero_ps();
        store_floats(activate16(_mm512_castsi512_ps(block[i]), epilogue.activation, other),
                     y + token * stride + r, mask);
      }
    }
  }
}

}  // namespace
}  // namespace twofour::kernels
