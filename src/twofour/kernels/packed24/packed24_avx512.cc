#include "twofour/kernels/packed24/packed24_avx512.h"

namespace twofour::kernels {
namespace {

// Without VBMI2 16-bit words are compressed as 32-bit ones.
inline void compress_words(__m512i words, uint32_t lanes, uint16_t* out) {
  const __m256i half[2] = {_mm512_castsi512_si256(words), _mm512_extracti64x4_epi64(words, 1)};
  for (int i = 0; i < 2; ++i, lanes >>= 16) {
    const __m512i wide = _mm512_cvtepu16_epi32(half[i]);
    const __m512i packed = _mm512_maskz_compress_epi32(static_cast<__mmask16>(lanes), wide);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 8 * i),
                     _mm256_cvtepi32_epi16(_mm512_castsi512_si256(packed)));
  }
}

}  // namespace

template <>
const PackLoops<uint16_t>& pack_avx512() {
  return kLoops<uint16_t>;
}

template <>
const PackLoops<uint32_t>& pack_avx512() {
  return kLoops<uint32_t>;
}

}  // namespace twofour::kernels
