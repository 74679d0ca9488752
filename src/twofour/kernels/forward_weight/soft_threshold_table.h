// The soft threshold of S-STE: first the definition per entry, then the same for F = Floats8 or
// Floats16.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#include "twofour/kernels/forward_weight/weight_lanes.h"
#include "twofour/kernels/rows/table.h"

namespace twofour::kernels {

struct SoftThresholdProducts {
  double with_weight = 0.0, with_itself = 0.0;
};

template <class T>
struct SoftThresholdTable {
  /// out = scale · S(w) for `count` entries (a multiple of 8); `mask` holds count / 8 bytes.
  WeightCounts (*shrink)(const float* w, int64_t count, float scale, T* out, uint8_t* mask);
  /// <w, S(w)> and <S(w), S(w)> of `count` entries (a multiple of 4). Entry i is added to sum i %
  /// 16 of sixteen; these are then added in order.
  SoftThresholdProducts (*products)(const float* w, int64_t count);
};

namespace {

constexpr int64_t kProductLanes = 16;

// S of each lane, 0 where magnitudes tie at the threshold. Wrong for infinities and NaN, whose S
// depends on which of them is kept.
template <class F>
F shrink_lanes(const OrderedLanes<F>& ordered) {
  using Signed = VectorOf<F, int32_t>;  // magnitudes are under 2^31
  const F rest = float_from_bits(ordered.size) - float_from_bits(ordered.threshold), zero = {};
  const F with_sign = float_from_bits(bits_of(rest) | (bits_of(ordered.w) & 0x80000000u));
  const auto size = reinterpret_cast<Signed>(ordered.size);
  return size > reinterpret_cast<Signed>(ordered.threshold) ? with_sign : zero;
}

struct SoftThreshold {
  float scale;

  void group(const float* w, uint32_t kept, float (&value)[4]) const {
    const float t = threshold24(w[0], w[1], w[2], w[3]);
    for (int k = 0; k < 4; ++k) value[k] = scale * shrink(w[k], t, kept >> (3 - k) & 1);
  }
  template <class F>
  F lanes(const OrderedLanes<F>& ordered) const {
    return scale * shrink_lanes(ordered);
  }
};

template <class T, class F>
WeightCounts soft_threshold_entries(const float* w, int64_t count, float scale, T* out,
                                    uint8_t* mask) {
  return weigh<T, F>(w, count, SoftThreshold{scale}, out, mask);
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
      const double s = shrink(w[k], t, is_kept(w + i, 4, 2, static_cast<int>(k - i)));
      with_weight[k % kProductLanes] += w[k] * s;
      with_itself[k % kProductLanes] += s * s;
    }
  }
}

// Sums of sixteen consecutive entries, in vectors of doubles as wide as F. Where infinities or NaN
// tie, lanes give 0, but with_weight is still NaN.
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
      const F lanes = load_lanes<F>(w + kFirst * kHalf);
      const F shrunk = shrink_lanes(ordered_lanes(lanes));
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

template <class T, class F>
constexpr SoftThresholdTable<T> kTable<SoftThresholdTable<T>, F> = {
    .shrink = soft_threshold_entries<T, F>, .products = soft_threshold_products<F>};

}  // namespace
}  // namespace twofour::kernels
