// Packs rows with AVX-512. Only compress_words() of the including file depends on VBMI2; it joins
// the 32-bit or 16-bit words of a vector's set lanes and stores them.
//
// A row is packed 128 groups at a time: first all kept sets, then their filled sets and positions
// by one table look-up, then the entries. Everything has internal linkage.
#pragma once

#include "twofour/kernels/packed24/packed24_generic.h"
#include "twofour/kernels/simd/avx512.h"

namespace twofour::kernels {
namespace {

void compress_words(__m512i words, uint32_t lanes, uint16_t* out);
void compress_words(__m512i words, uint32_t lanes, uint32_t* out);

constexpr int64_t kRunGroups = 128;

inline __m512i table_of(const uint8_t (&bytes)[16]) {
  return _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)));
}

// The kept sets of 16 groups, four bits each.
inline uint64_t kept_sets(const uint16_t* weight) {
  const __m512i magnitude = _mm512_set1_epi16(0x7fff);
  const __mmask32 low = _mm512_test_epi16_mask(_mm512_loadu_si512(weight), magnitude);
  const __mmask32 high = _mm512_test_epi16_mask(_mm512_loadu_si512(weight + 32), magnitude);
  return uint64_t{high} << 32 | low;
}
inline uint64_t kept_sets(const uint32_t* weight) {
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  uint64_t sets = 0;
  for (int i = 0; i < 4; ++i) {
    const __mmask16 part = _mm512_test_epi32_mask(_mm512_loadu_si512(weight + 16 * i), magnitude);
    sets |= uint64_t{part} << 16 * i;
  }
  return sets;
}
inline uint64_t kept_sets(const uint8_t* mask) {
  const __m512i bytes = _mm512_loadu_si512(mask);
  return _mm512_test_epi8_mask(bytes, bytes);
}

// The values of 16 groups. Padding entries are not in `kept` and become 0.
inline void pack_entries(const uint16_t* weight, uint64_t kept, uint64_t filled, uint16_t* values) {
  for (int i = 0; i < 2; ++i, kept >>= 32, filled >>= 32) {
    const __m512i words = _mm512_maskz_loadu_epi16(static_cast<__mmask32>(kept), weight + 32 * i);
    compress_words(words, static_cast<uint32_t>(filled), values + 16 * i);
  }
}
inline void pack_entries(const uint32_t* weight, uint64_t kept, uint64_t filled, uint32_t* values) {
  for (int i = 0; i < 4; ++i, kept >>= 16, filled >>= 16) {
    const __m512i words = _mm512_maskz_loadu_epi32(static_cast<__mmask16>(kept), weight + 16 * i);
    compress_words(words, static_cast<uint32_t>(filled) & 0xffff, values + 8 * i);
  }
}

// One table entry per half byte, of 128.
inline __m512i look_up(__m512i table, __m512i low, __m512i high) {
  return _mm512_or_si512(_mm512_shuffle_epi8(table, low),
                         _mm512_slli_epi16(_mm512_shuffle_epi8(table, high), 4));
}

template <class Word>
bool pack_row(const Word* weight, const uint8_t* mask, int64_t groups, Word* values,
              uint8_t* positions) {
  const __m512i half = _mm512_set1_epi8(15), filled_table = table_of(kPackTables.filled);
  const __m512i position_table = table_of(kPackTables.position);
  const __m512i overfull_table = table_of(kPackTables.overfull);
  __m512i overfull = _mm512_setzero_si512();
  const int64_t whole = groups / 16 * 16;
  for (int64_t g = 0; g < whole; g += kRunGroups) {
    const int64_t blocks = whole - g < kRunGroups ? (whole - g) / 16 : 8;
    const Word* entries = weight + 4 * g;
    alignas(64) uint64_t kept[8], filled[8];
    for (int64_t i = 0; i < blocks; ++i) {
      kept[i] = mask ? kept_sets(mask + 4 * g + 64 * i) : kept_sets(entries + 64 * i);
    }
    const auto present = static_cast<__mmask8>((1u << blocks) - 1);
    const __m512i sets = _mm512_maskz_load_epi64(present, kept);
    const __m512i low = _mm512_and_si512(sets, half);
    const __m512i high = _mm512_and_si512(_mm512_srli_epi16(sets, 4), half);
    overfull = _mm512_or_si512(overfull, look_up(overfull_table, low, high));
    _mm512_store_si512(filled, look_up(filled_table, low, high));
    _mm512_mask_storeu_epi64(positions + g / 2, present, look_up(position_table, low, high));
    for (int64_t i = 0; i < blocks; ++i) {
      pack_entries(entries + 64 * i, kept[i], filled[i], values + 2 * g + 32 * i);
    }
  }
  const bool rest = pack_groups(weight + 4 * whole, mask ? mask + 4 * whole : nullptr,
                                groups - whole, values + 2 * whole, positions + whole / 2);
  return _mm512_test_epi8_mask(overfull, overfull) == 0 && rest;
}

template <class Word>
constexpr PackLoops<Word> kLoops = {.row = pack_row<Word>, .check = check_groups<Word>};

inline void compress_words(__m512i words, uint32_t lanes, uint32_t* out) {
  const __m512i packed = _mm512_maskz_compress_epi32(static_cast<__mmask16>(lanes), words);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm512_castsi512_si256(packed));
}

}  // namespace
}  // namespace twofour::kernels
