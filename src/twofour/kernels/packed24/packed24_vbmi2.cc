#include "twofour/kernels/packed24/packed24_avx512.h"

namespace twofour::kernels {
namespace {

// Compresses to a register first; compressing to memory is very slow on Zen 4 and 5.
inline void compress_words(__m512i words, uint32_t lanes, uint16_t* out) {
  const __m512i packed = _mm512_maskz_compress_epi16(lanes, words);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm512_castsi512_si256(packed));
}

}  // namespace

template <>
const PackLoops<uint16_t>& pack_vbmi2() {
  return kLoops<uint16_t>;
}

template <>
const PackLoops<uint32_t>& pack_vbmi2() {
  return kLoops<uint32_t>;
}

}  // namespace twofour::kernels
