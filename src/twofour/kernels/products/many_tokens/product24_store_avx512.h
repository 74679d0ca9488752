// The transposing store of the AVX-512 files: 16 x 16 sums at a time.
#pragma once

#include "twofour/kernels/products/many_tokens/product24_generic.h"
#include "twofour/kernels/simd/avx512.h"

namespace twofour::kernels {
namespace {

template <class T>
void store_transposed_avx512(const float* c, int64_t rows, int64_t tokens, T* y, int64_t stride) {
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
        store_floats(_mm512_castsi512_ps(block[i]), y + (t + i) * stride + r, mask);
      }
    }
  }
}

}  // namespace
}  // namespace twofour::kernels
