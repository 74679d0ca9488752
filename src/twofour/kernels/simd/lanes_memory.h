// Loads and stores of lanes.h's vectors. Included by one source file per instruction set.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "twofour/kernels/simd/lanes.h"

namespace twofour::kernels {
namespace {

// A vector of Entry with kBytes bytes.
template <size_t kBytes, class Entry>
struct VectorOfBytes {
  typedef Entry Type __attribute__((vector_size(kBytes)));
};
// A vector of Entry as wide as F.
template <class F, class Entry>
using VectorOf = typename VectorOfBytes<sizeof(F), Entry>::Type;
template <class F, class Entry>
using HalfVectorOf = typename VectorOfBytes<sizeof(F) / 2, Entry>::Type;

#if defined(__AVX2__)
inline __m128i* vector128(void* at) { return static_cast<__m128i*>(at); }
inline const __m128i* vector128(const void* at) { return static_cast<const __m128i*>(at); }

inline bool any_lane(MaskOf<Floats8> mask) {
  return _mm256_movemask_ps(reinterpret_cast<__m256>(mask)) != 0;
}

template <class F>
F widened(const bfloat16* x) {
  HalfVectorOf<F, uint16_t> halves;
  std::memcpy(&halves, x, sizeof halves);
  return float_from_bits(__builtin_convertvector(halves, WordsOf<F>) << 16);
}
template <class F>
F widened(const float16* x) {
#if defined(__AVX512F__)
  if constexpr (sizeof(F) == 64) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)));
  }
#endif
  if constexpr (sizeof(F) == 32) return _mm256_cvtph_ps(_mm_loadu_si128(vector128(x)));
}

// Lanes, at most 0xffff, as 16 bits.
inline __m128i halves_of(Words8 words) {
  const auto all = reinterpret_cast<__m256i>(words);
  return _mm_packus_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
}

template <class Words>
void store_halves(Words words, bfloat16* out) {
  if constexpr (sizeof(Words) == 32) {
    _mm_storeu_si128(vector128(out), halves_of(words));
  } else {
#if defined(__AVX512F__)
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out),
                        _mm512_cvtepi32_epi16(reinterpret_cast<__m512i>(words)));
#endif
  }
}

template <class F>
void store_narrowed(F lanes, bfloat16* out) {
  using Words = WordsOf<F>;
  const Words bits = bits_of(lanes), rounded = bits + 0x7fffu + (bits >> 16 & 1u);
  store_halves<Words>((lanes == lanes ? rounded : bits | 0x400000u) >> 16, out);
}
template <class F>
void store_narrowed(F lanes, float16* out) {
  if constexpr (sizeof(F) == 32) {
    _mm_storeu_si128(vector128(out), _mm256_cvtps_ph(lanes, _MM_FROUND_TO_NEAREST_INT));
  } else {
#if defined(__AVX512F__)
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out),
                        _mm512_cvtps_ph(lanes, _MM_FROUND_TO_NEAREST_INT));
#endif
  }
}

// Lanes of 32 bits, at most 255, or of 16 bits, at most 127, as bytes.
template <class V>
void store_bytes(V lanes, uint8_t* out) {
  constexpr bool kWords = sizeof(V{}[0]) == 4;
  if constexpr (sizeof(V) == 32 && kWords) {
    const __m128i halves = halves_of(reinterpret_cast<Words8>(lanes));
    _mm_storel_epi64(vector128(out), _mm_packus_epi16(halves, halves));
  } else if constexpr (sizeof(V) == 32) {
    const auto all = reinterpret_cast<__m256i>(lanes);
    _mm_storeu_si128(vector128(out), _mm_packs_epi16(_mm256_castsi256_si128(all),
                                                     _mm256_extracti128_si256(all, 1)));
  } else {
#if defined(__AVX512F__)
    const auto all = reinterpret_cast<__m512i>(lanes);
    if constexpr (kWords) {
      _mm_storeu_si128(vector128(out), _mm512_cvtepi32_epi8(all));
    } else {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm512_cvtepi16_epi8(all));
    }
#endif
  }
}
#endif

// Prefetches the cache line 1 KB after x, which may be beyond the end. For data larger than the
// cache, loops of this size become half as fast again.
inline void prefetch_ahead(const void* x) {
  __builtin_prefetch(static_cast<const char*>(x) + 1024);
}

// The same for every line with kColumns columns of up to four rows.
template <int64_t kColumns, class T>
void prefetch_columns_ahead(const T* x, int64_t rows, int64_t stride) {
  constexpr int64_t kOfLine = 64 / static_cast<int64_t>(sizeof(T));
  for (int64_t r = 0; r < rows && r < 4; ++r) {
    for (int64_t i = 0; i < kColumns; i += kOfLine) prefetch_ahead(x + r * stride + i);
  }
}

inline bool any_lane(bool mask) { return mask; }

// Half kHalf of the lanes, as doubles.
#if defined(__AVX512F__)
template <size_t kHalf>
__m512d half_as_doubles(Floats16 lanes) {
  return _mm512_cvtps_pd(_mm512_extractf32x8_ps(lanes, kHalf));
}
#endif
#if defined(__AVX2__)
template <size_t kHalf>
__m256d half_as_doubles(Floats8 lanes) {
  return _mm256_cvtps_pd(_mm256_extractf128_ps(lanes, kHalf));
}
#endif

// Loads as many consecutive values as F has lanes.
template <class F, class T>
F load_lanes(const T* x) {
  if constexpr (sizeof(F) == sizeof(float)) {
    return to_float(*x);
  } else if constexpr (sizeof(T) == sizeof(float)) {
    F lanes;
    std::memcpy(&lanes, x, sizeof lanes);
    return lanes;
  } else {
    return widened<F>(x);
  }
}

// Rounds like store().
template <class F, class T>
void store_lanes(F lanes, T* out) {
  if constexpr (sizeof(F) == sizeof(float)) {
    store(lanes, *out);
  } else if constexpr (sizeof(T) == sizeof(float)) {
    std::memcpy(out, &lanes, sizeof lanes);
  } else {
    store_narrowed(lanes, out);
  }
}

}  // namespace
}  // namespace twofour::kernels
