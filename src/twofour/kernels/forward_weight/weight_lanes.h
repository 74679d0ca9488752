// A weight by groups and for F = Floats8 or Floats16, consecutive groups in a vector: the order in
// each group, and masks as lanes and bits. Included by one source file per instruction set.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "twofour/kernels/forward_weight/weight_counts.h"
#include "twofour/kernels/group.h"
#include "twofour/kernels/simd/lanes_memory.h"

namespace twofour::kernels {
namespace {

constexpr int64_t kMaskStep = 64;  // their mask is one word

// The bits of the largest magnitude that rounds to 0: half of T's smallest subnormal number.
template <class T>
constexpr uint32_t kLargestZero = std::is_same_v<T, bfloat16>  ? 0x00008000u
                                  : std::is_same_v<T, float16> ? 0x33000000u
                                                               : 0u;

template <class T>
bool is_zero_as(float value) {
  return (bits_of(value) & 0x7fffffffu) <= kLargestZero<T>;
}

inline bool mask_bit(const uint8_t* mask, int64_t i) { return mask[i / 8] >> (7 - i % 8) & 1; }

// Lane i of the result is lane i ^ kFlip.
template <int kFlip, class V, size_t... I>
V exchanged(V v, std::index_sequence<I...>) {
  return __builtin_shufflevector(v, v, (I ^ kFlip)...);
}

// Lanes of weights, their magnitudes, and threshold24 of its group in each lane.
template <class F>
struct OrderedLanes {
  F w;
  WordsOf<F> size, threshold;
};

template <class F>
OrderedLanes<F> ordered_lanes(F w) {
  using Words = WordsOf<F>;
  constexpr auto kLanes = std::make_index_sequence<sizeof(F) / sizeof(float)>();
  const auto smaller = [](Words x, Words y) { return x < y ? x : y; };
  const auto larger = [](Words x, Words y) { return x < y ? y : x; };
  const Words size = bits_of(w) & 0x7fffffffu, next = exchanged<1>(size, kLanes);
  const Words low = smaller(size, next), high = larger(size, next);
  const Words threshold =
      smaller(larger(low, exchanged<2>(low, kLanes)), smaller(high, exchanged<2>(high, kLanes)));
  return {w, size, threshold};
}

// larger_lanes: bit i is set if lane i is larger; both are under 2^31. chosen_lanes: lane i of
// `set` if bit i is set, else of `clear`.
#if defined(__AVX512F__)
inline uint64_t larger_lanes(Words16 a, Words16 b) {
  return _mm512_cmpgt_epu32_mask(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b));
}
inline Floats16 chosen_lanes(uint64_t bits, Floats16 set, Floats16 clear) {
  return _mm512_mask_blend_ps(static_cast<__mmask16>(bits), clear, set);
}
#endif
#if defined(__AVX2__)
inline uint64_t larger_lanes(Words8 a, Words8 b) {
  const auto larger =
      _mm256_cmpgt_epi32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b));
  return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(larger)));
}
inline Floats8 chosen_lanes(uint64_t bits, Floats8 set, Floats8 clear) {
  const Words8 own = {1, 2, 4, 8, 16, 32, 64, 128};
  const Words8 all = Words8{} + static_cast<uint32_t>(bits);
  return (all & own) == own ? set : clear;
}
#endif

// Bit i is set if lane i, rounded to T, is nonzero.
template <class T, class F>
uint64_t nonzero_lanes(F value) {
  return larger_lanes(bits_of(value) & 0x7fffffffu, WordsOf<F>{} + kLargestZero<T>);
}

// Reverses the bits in each byte.
inline uint64_t reversed_in_bytes(uint64_t x) {
  x = (x >> 4 & 0x0f0f0f0f0f0f0f0fu) | (x & 0x0f0f0f0f0f0f0f0fu) << 4;
  x = (x >> 2 & 0x3333333333333333u) | (x & 0x3333333333333333u) << 2;
  return (x >> 1 & 0x5555555555555555u) | (x & 0x5555555555555555u) << 1;
}

// The next kMaskStep bits of a mask, entry i in bit i.
inline uint64_t load_mask(const uint8_t* mask) {
  uint64_t bits;
  std::memcpy(&bits, mask, sizeof bits);
  return reversed_in_bytes(bits);
}

// A rule defines the forward weight: rule.group(w, kept, value) for one group, with its first entry
// in bit 3 of `kept`, and rule.lanes(ordered) for lanes. `count` is a multiple of 8.
template <class T, class Rule>
WeightCounts weigh_groups(const float* w, int64_t count, Rule rule, T* out, uint8_t* mask) {
  WeightCounts counts;
  for (int64_t i = 0; i < count; i += 8) {
    uint32_t byte = 0;
    for (int64_t half = i; half < i + 8; half += 4) {
      uint32_t kept = 0;
      for (int k = 0; k < 4; ++k) kept = kept << 1 | is_kept(w + half, 4, 2, k);
      float value[4];
      rule.group(w + half, kept, value);
      for (int k = 0; k < 4; ++k) {
        store(value[k], out[half + k]);
        counts.zeros += is_zero_as<T>(value[k]);
      }
      byte = byte << 4 | kept;
    }
    counts.flips += __builtin_popcount(byte ^ mask[i / 8]);
    mask[i / 8] = static_cast<uint8_t>(byte);
  }
  return counts;
}

template <class T, class F, class Rule>
WeightCounts weigh(const float* w, int64_t count, Rule rule, T* out, uint8_t* mask) {
  WeightCounts counts;
  int64_t i = 0;
  if constexpr (sizeof(F) != sizeof(float)) {
    constexpr int64_t kWidth = sizeof(F) / sizeof(float);
    for (; i + kMaskStep <= count; i += kMaskStep) {
      uint64_t kept = 0, nonzero = 0;
      for (int64_t k = 0; k < kMaskStep; k += kWidth) {
        prefetch_ahead(w + i + k);
        const OrderedLanes<F> ordered = ordered_lanes(load_lanes<F>(w + i + k));
        const F value = rule.lanes(ordered);
        store_lanes(value, out + i + k);
        kept |= larger_lanes(ordered.size, ordered.threshold) << k;
        nonzero |= nonzero_lanes<T>(value) << k;
      }
      // At most two entries of a group exceed its threshold; with ties there are fewer.
      if (__builtin_popcountll(kept) != kMaskStep / 2) {
        const WeightCounts some = weigh_groups(w + i, kMaskStep, rule, out + i, mask + i / 8);
        counts.flips += some.flips;
        counts.zeros += some.zeros;
        continue;
      }
      uint64_t before;
      kept = reversed_in_bytes(kept);
      std::memcpy(&before, mask + i / 8, sizeof before);
      std::memcpy(mask + i / 8, &kept, sizeof kept);
      counts.flips += __builtin_popcountll(kept ^ before);
      counts.zeros += kMaskStep - __builtin_popcountll(nonzero);
    }
  }
  const WeightCounts rest = weigh_groups(w + i, count - i, rule, out + i, mask + i / 8);
  return {counts.flips + rest.flips, counts.zeros + rest.zeros};
}

}  // namespace
}  // namespace twofour::kernels
