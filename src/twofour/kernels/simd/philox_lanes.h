// Vectors of Philox blocks, with the same words as RandomStream.
#pragma once

#include <cstdint>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "twofour/base/random.h"
#include "twofour/kernels/simd/lanes_memory.h"

namespace twofour::kernels {
namespace {

constexpr uint64_t kPhiloxMultiplier0 = 0xD2511F53u, kPhiloxMultiplier1 = 0xCD9E8D57u;

// Values shared by all blocks of a stream, in memory because filling vectors from there is free.
struct PhiloxRounds {
  explicit PhiloxRounds(const RandomStream& stream)
      : counter{stream.micro_batch, stream.step, stream.tensor} {
    auto key0 = static_cast<uint32_t>(stream.seed);
    auto key1 = static_cast<uint32_t>(stream.seed >> 32);
    for (auto& round : key) {
      round[0] = key0;
      round[1] = key1;
      key0 += 0x9E3779B9u;
      key1 += 0xBB67AE85u;
    }
    const uint64_t product1 = counter[1] * kPhiloxMultiplier1;
    const uint64_t c0 = (product1 >> 32) ^ counter[0] ^ key[0][0];
    const uint64_t product0 = c0 * kPhiloxMultiplier0;
    first_c2 = counter[2] ^ key[0][1];
    second_c0 = (product1 & 0xffffffffu) ^ key[1][0];
    second_c2 = (product0 >> 32) ^ key[1][1];
    second_c3 = product0 & 0xffffffffu;
  }

  uint64_t key[10][2];
  uint64_t counter[3];
  /// The parts of the first two rounds' counters that all blocks share.
  uint64_t first_c2, second_c0, second_c2, second_c3;
};

#if defined(__AVX2__)
// The uniform numbers of the 16 words of blocks first to first + 3. A word lies in the lower half
// of a 64-bit lane. The multiply only reads lower halves, so upper halves are not cleared.
inline void uniforms_of_4_blocks(const PhiloxRounds& rounds, uint32_t first, float* u) {
  const auto lanes = [](uint64_t value) { return _mm256_set1_epi64x(static_cast<int64_t>(value)); };
  const auto mix = [&](__m256i product, __m256i counter, uint64_t key) {
    return _mm256_xor_si256(_mm256_srli_epi64(product, 32), _mm256_xor_si256(counter, lanes(key)));
  };
  __m256i c0 = _mm256_add_epi64(lanes(first), _mm256_setr_epi64x(0, 1, 2, 3));
  __m256i c1 = lanes(rounds.counter[0]), c2 = lanes(rounds.counter[1]),
          c3 = lanes(rounds.counter[2]);
  for (const auto& key : rounds.key) {
    const __m256i product0 = _mm256_mul_epu32(c0, lanes(kPhiloxMultiplier0));
    const __m256i product1 = _mm256_mul_epu32(c2, lanes(kPhiloxMultiplier1));
    c0 = mix(product1, c1, key[0]);
    c2 = mix(product0, c3, key[1]);
    c1 = product1;
    c3 = product0;
  }
  const __m256i a = _mm256_blend_epi32(c0, _mm256_slli_epi64(c1, 32), 0xaa);
  const __m256i b = _mm256_blend_epi32(c2, _mm256_slli_epi64(c3, 32), 0xaa);
  const __m256i blocks02 = _mm256_unpacklo_epi64(a, b), blocks13 = _mm256_unpackhi_epi64(a, b);
  const auto put = [](__m256i words, float* to) {
    const __m256 number = _mm256_cvtepi32_ps(_mm256_srli_epi32(words, 8));
    _mm256_storeu_ps(to, _mm256_mul_ps(number, _mm256_set1_ps(0x1p-24f)));
  };
  put(_mm256_permute2x128_si256(blocks02, blocks13, 0x20), u);
  put(_mm256_permute2x128_si256(blocks02, blocks13, 0x31), u + 8);
}
#endif

#if defined(__AVX512F__)
// Eight blocks, one per 64-bit lane, before the last round assembles its words: upper(product1) ^
// c1 ^ key, lower(product1), upper(product0) ^ c3 ^ key, lower(product0). Upper halves of c1 and c3
// are undefined.
struct PhiloxLanes {
  __m512i product0, product1, c1, c3;
  uint64_t keys;  // of words 0 and 2, in the lower and upper half
};

inline __m512i xor_of_three(__m512i a, __m512i b, __m512i c) {
  return _mm512_ternarylogic_epi64(a, b, c, 0x96);
}

inline PhiloxLanes philox8(const PhiloxRounds& rounds, uint32_t first) {
  const auto lanes = [](uint64_t value) { return _mm512_set1_epi64(static_cast<int64_t>(value)); };
  const auto upper = [](__m512i product) { return _mm512_srli_epi64(product, 32); };
  const auto times0 = [&](__m512i c) { return _mm512_mul_epu32(c, lanes(kPhiloxMultiplier0)); };
  const auto times1 = [&](__m512i c) { return _mm512_mul_epu32(c, lanes(kPhiloxMultiplier1)); };
  const __m512i index = _mm512_add_epi64(lanes(first), _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7));
  // `rounds` has the parts of the first two rounds that do not depend on the index.
  __m512i c3 = times0(index);
  __m512i c1 = times1(_mm512_xor_si512(upper(c3), lanes(rounds.first_c2)));
  __m512i c0 = _mm512_xor_si512(upper(c1), lanes(rounds.second_c0));
  __m512i c2 = _mm512_xor_si512(c3, lanes(rounds.second_c2));
  c3 = lanes(rounds.second_c3);
  for (int round = 2; round < 9; ++round) {
    const auto& key = rounds.key[round];
    const __m512i product0 = times0(c0), product1 = times1(c2);
    c0 = xor_of_three(upper(product1), c1, lanes(key[0]));
    c2 = xor_of_three(upper(product0), c3, lanes(key[1]));
    c1 = product1;
    c3 = product0;
  }
  return {times0(c0), times1(c2), c1, c3, rounds.key[9][0] | rounds.key[9][1] << 32};
}
#endif

// The lower halves of 64-bit lanes times a number below 2^32.
inline uint64_t times_lower(uint64_t a, uint64_t factor) { return (a & 0xffffffffu) * factor; }
#if defined(__AVX2__)
inline VectorOf<Floats8, uint64_t> times_lower(VectorOf<Floats8, uint64_t> a, uint64_t factor) {
  return reinterpret_cast<VectorOf<Floats8, uint64_t>>(_mm256_mul_epu32(
      reinterpret_cast<__m256i>(a), _mm256_set1_epi64x(static_cast<int64_t>(factor))));
}
#endif
#if defined(__AVX512F__)
inline VectorOf<Floats16, uint64_t> times_lower(VectorOf<Floats16, uint64_t> a, uint64_t factor) {
  return reinterpret_cast<VectorOf<Floats16, uint64_t>>(_mm512_mul_epu32(
      reinterpret_cast<__m512i>(a), _mm512_set1_epi64(static_cast<int64_t>(factor))));
}
#endif

// The four words of the blocks whose indices are the lower halves of `index`, in lower halves; the
// upper ones are undefined.
template <class Long>
void philox_words(const PhiloxRounds& rounds, Long index, Long (&word)[4]) {
  Long c3 = times_lower(index, kPhiloxMultiplier0);
  Long c1 = times_lower((c3 >> 32) ^ rounds.first_c2, kPhiloxMultiplier1);
  Long c0 = (c1 >> 32) ^ rounds.second_c0, c2 = c3 ^ rounds.second_c2;
  c3 = Long{} + rounds.second_c3;
  for (int round = 2; round < 10; ++round) {
    const Long product0 = times_lower(c0, kPhiloxMultiplier0);
    const Long product1 = times_lower(c2, kPhiloxMultiplier1);
    c0 = (product1 >> 32) ^ c1 ^ rounds.key[round][0];
    c2 = (product0 >> 32) ^ c3 ^ rounds.key[round][1];
    c1 = product1;
    c3 = product0;
  }
  word[0] = c0;
  word[1] = c1;
  word[2] = c2;
  word[3] = c3;
}

// The same for one index a lane of F.
template <class F>
void philox_of_lanes(const PhiloxRounds& rounds, WordsOf<F> index, WordsOf<F> (&word)[4]) {
  if constexpr (sizeof(F) == sizeof(float)) {
    uint64_t words[4];
    philox_words<uint64_t>(rounds, index, words);
    for (int i = 0; i < 4; ++i) word[i] = static_cast<uint32_t>(words[i]);
  } else {
    using Long = VectorOf<F, uint64_t>;
    const auto indices = reinterpret_cast<Long>(index);
    Long even[4], odd[4];
    philox_words(rounds, indices, even);
    philox_words(rounds, indices >> 32, odd);
    for (int i = 0; i < 4; ++i) {
      word[i] = reinterpret_cast<WordsOf<F>>((even[i] & 0xffffffffu) | odd[i] << 32);
    }
  }
}

}  // namespace
}  // namespace twofour::kernels
