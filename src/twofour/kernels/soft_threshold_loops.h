// The soft threshold of S-STE: first the definition, entry by entry, then the same on F = Floats8
// or Floats16, a row of groups in a vector. Included by one source file an instruction set.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#include "twofour/kernels/group.h"
#include "twofour/kernels/lanes_memory.h"
#include "twofour/kernels/rows.h"

namespace twofour::kernels {
namespace {

constexpr int64_t kProductLanes = 16;

template <class T>
SoftThresholdSums soft_threshold_groups(const float* w, int64_t count, float scale, T* out,
                                        uint8_t* mask) {
  SoftThresholdSums sums;
  for (int64_t i = 0; i < count; i += 8) {
    uint32_t kept = 0;
    for (int64_t half = 0; half < 8; half += 4) {
      const float* group = w + i + half;
      const float t = threshold24(group[0], group[1], group[2], group[3]);
      for (int k = 0; k < 4; ++k) {
        const float value = scale * shrink(group[k], t);
        store(value, out[i + half + k]);
        sums.zeros += value == 0.0f;
        kept = kept << 1 | is_kept(group, 4, 2, k);
      }
    }
    sums.flips += __builtin_popcount(kept ^ mask[i / 8]);
    mask[i / 8] = static_cast<uint8_t>(kept);
  }
  return sums;
}

inline SoftThresholdProducts sum_of(const double (&with_weight)[kProductLanes],
                                    const double (&with_itself)[kProductLanes]) {
  SoftThresholdProducts sum;
  for (int64_t k = 0; k < kProductLanes; ++k) {
    sum.with_weight += with_weight[k];
    sum.with_itself += with_itself[k];
  }
  return sum;
}

inline void add_products(const float* w, int64_t count, double (&with_weight)[kProductLanes],
                         double (&with_itself)[kProductLanes]) {
  for (int64_t i = 0; i < count; i += 4) {
    const float t = threshold24(w[i], w[i + 1], w[i + 2], w[i + 3]);
    for (int64_t k = i; k < i + 4; ++k) {
      const double s = shrink(w[k], t);
      with_weight[k % kProductLanes] += w[k] * s;
      with_itself[k % kProductLanes] += s * s;
    }
  }
}

// Lane i of the result is lane i ^ kFlip.
template <int kFlip, class V, size_t... I>
V exchanged(V v, std::index_sequence<I...>) {
  return __builtin_shufflevector(v, v, (I ^ kFlip)...);
}

template <class F>
struct Shrunk {
  WordsOf<F> size, threshold;
  F value;  // S(w)
};

// threshold24 and shrink, with the threshold in each lane of its group.
template <class F>
Shrunk<F> shrink_lanes(F w) {
  using Words = WordsOf<F>;
  constexpr auto kLanes = std::make_index_sequence<sizeof(F) / sizeof(float)>();
  const auto smaller = [](Words x, Words y) { return x < y ? x : y; };
  const auto larger = [](Words x, Words y) { return x < y ? y : x; };
  const Words size = bits_of(w) & 0x7fffffffu, next = exchanged<1>(size, kLanes);
  const Words low = smaller(size, next), high = larger(size, next);
  const Words threshold =
      smaller(larger(low, exchanged<2>(low, kLanes)), smaller(high, exchanged<2>(high, kLanes)));
  const F rest = float_from_bits(size) - float_from_bits(threshold), zero = {};
  const F with_sign = float_from_bits(bits_of(rest) | (bits_of(w) & 0x80000000u));
  return {size, threshold, rest > zero ? with_sign : zero};
}

// Bit i: lane i is true.
#if defined(__AVX512F__)
inline uint64_t larger_lanes(Words16 a, Words16 b) {
  return _mm512_cmpgt_epu32_mask(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b));
}
inline uint64_t zero_lanes(Floats16 a) { return _mm512_cmp_ps_mask(a, Floats16{}, _CMP_EQ_OQ); }
#endif
#if defined(__AVX2__)
inline uint64_t larger_lanes(Words8 a, Words8 b) {  // both under 2^31
  const auto larger =
      _mm256_cmpgt_epi32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b));
  return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(larger)));
}
inline uint64_t zero_lanes(Floats8 a) {
  return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(a, Floats8{}, _CMP_EQ_OQ)));
}
#endif

// The bits of each byte in reverse.
inline uint64_t reversed_in_bytes(uint64_t x) {
  x = (x >> 4 & 0x0f0f0f0f0f0f0f0fu) | (x & 0x0f0f0f0f0f0f0f0fu) << 4;
  x = (x >> 2 & 0x3333333333333333u) | (x & 0x3333333333333333u) << 2;
  return (x >> 1 & 0x5555555555555555u) | (x & 0x5555555555555555u) << 1;
}

template <class T, class F>
SoftThresholdSums soft_threshold_lanes(const float* w, int64_t count, float scale, T* out,
                                       uint8_t* mask) {
  if constexpr (sizeof(F) == sizeof(float)) {
    return soft_threshold_groups(w, count, scale, out, mask);
  } else {
    constexpr int64_t kWidth = sizeof(F) / sizeof(float), kStep = 64;
    SoftThresholdSums sums;
    int64_t i = 0;
    for (; i + kStep <= count; i += kStep) {
      uint64_t kept = 0, zeros = 0, before;
      for (int64_t k = 0; k < kStep; k += kWidth) {
        prefetch_ahead(w + i + k);
        const Shrunk<F> shrunk = shrink_lanes(load_lanes<F>(w + i + k));
        const F value = scale * shrunk.value;
        store_lanes(value, out + i + k);
        kept |= larger_lanes(shrunk.size, shrunk.threshold) << k;
        zeros |= zero_lanes(value) << k;
      }
      // More than two of a group are never above its threshold; with ties there are fewer.
      if (__builtin_popcountll(kept) != kStep / 2) {
        const SoftThresholdSums some =
            soft_threshold_groups(w + i, kStep, scale, out + i, mask + i / 8);
        sums.flips += some.flips;
        sums.zeros += some.zeros;
        continue;
      }
      kept = reversed_in_bytes(kept);
      std::memcpy(&before, mask + i / 8, sizeof before);
      std::memcpy(mask + i / 8, &kept, sizeof kept);
      sums.flips += __builtin_popcountll(kept ^ before);
      sums.zeros += __builtin_popcountll(zeros);
    }
    const SoftThresholdSums rest =
        soft_threshold_groups(w + i, count - i, scale, out + i, mask + i / 8);
    return {sums.flips + rest.flips, sums.zeros + rest.zeros};
  }
}

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

// Sums of sixteen consecutive entries, in vectors of doubles as wide as F.
template <class F>
struct ProductSums {
  static constexpr size_t kHalf = sizeof(F) / sizeof(double), kParts = kProductLanes / kHalf;
  VectorOf<F, double> with_weight[kParts] = {}, with_itself[kParts] = {};

  template <size_t kPart>
  void add_half(F w, F shrunk) {
    const auto a = half_as_doubles<kPart % 2>(w), s = half_as_doubles<kPart % 2>(shrunk);
    with_weight[kPart] += a * s;
    with_itself[kPart] += s * s;
  }

  template <size_t... I>
  void add(const float* w, std::index_sequence<I...>) {
    const auto add_lanes = [&]<size_t kFirst>(std::integral_constant<size_t, kFirst>) {
      const F lanes = load_lanes<F>(w + kFirst * kHalf), shrunk = shrink_lanes(lanes).value;
      add_half<kFirst>(lanes, shrunk);
      add_half<kFirst + 1>(lanes, shrunk);
    };
    (add_lanes(std::integral_constant<size_t, 2 * I>()), ...);
  }
};

template <class F>
SoftThresholdProducts soft_threshold_products(const float* w, int64_t count) {
  double with_weight[kProductLanes] = {}, with_itself[kProductLanes] = {};
  int64_t i = 0;
  if constexpr (sizeof(F) != sizeof(float)) {
    ProductSums<F> sums;
    for (; i + kProductLanes <= count; i += kProductLanes) {
      prefetch_ahead(w + i);
      sums.add(w + i, std::make_index_sequence<ProductSums<F>::kParts / 2>());
    }
    std::memcpy(with_weight, sums.with_weight, sizeof with_weight);
    std::memcpy(with_itself, sums.with_itself, sizeof with_itself);
  }
  add_products(w + i, count - i, with_weight, with_itself);
  return sum_of(with_weight, with_itself);
}

}  // namespace
}  // namespace twofour::kernels
