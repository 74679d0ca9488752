// AdamW with a frozen second moment, and the change of an unfrozen one, for F = float, Floats8 or
// Floats16.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>

#include "twofour/kernels/rows/table.h"
#include "twofour/kernels/simd/lanes_memory.h"
#include "twofour/kernels/training/adamw.h"

namespace twofour::kernels {

/// See adamw.h.
struct AdamWTable {
  void (*frozen)(float* w, const float* gradient, float* exp_avg, const float* second_moment,
                 int64_t count, const FrozenAdamW& options);
  /// `count` is at most 2^14; entry i is added to sum i % 16 of sixteen.
  MomentChange (*moment_change)(const float* gradient, const float* exp_avg_sq, int64_t count,
                                float gradient_divisor, float beta2);
};

namespace {

inline float square_root(float x) { return std::sqrt(x); }
#if defined(__AVX2__)
inline Floats8 square_root(Floats8 x) { return _mm256_sqrt_ps(x); }
#endif
#if defined(__AVX512F__)
inline Floats16 square_root(Floats16 x) { return _mm512_sqrt_ps(x); }
#endif

struct FrozenFactors {
  float beta, rest, decay, rate, epsilon, divisor, correction;
};

template <class F>
void frozen_lanes(float* w, const float* gradient, float* exp_avg, const float* second_moment,
                  const FrozenFactors& factors) {
  const F g = load_lanes<F>(gradient) / factors.divisor;
  const F mean = factors.beta * load_lanes<F>(exp_avg) + factors.rest * g;
  const F size = square_root(load_lanes<F>(second_moment) / factors.correction) + factors.epsilon;
  store_lanes(mean, exp_avg);
  store_lanes(load_lanes<F>(w) * factors.decay - factors.rate * mean / size, w);
}

template <class F>
void frozen_entries(float* w, const float* gradient, float* exp_avg, const float* second_moment,
                    int64_t count, const FrozenAdamW& options) {
  const auto rounded = [](double value) { return static_cast<float>(value); };
  const FrozenFactors factors = {rounded(options.beta1),
                                 rounded(1.0 - options.beta1),
                                 rounded(1.0 - options.learning_rate * options.weight_decay),
                                 rounded(options.learning_rate / options.bias_correction1),
                                 rounded(options.epsilon),
                                 rounded(options.gradient_divisor),
                                 rounded(options.bias_correction2)};
  constexpr int64_t kWidth = sizeof(F) / sizeof(float);
  int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) {
    prefetch_ahead(w + i);
    prefetch_ahead(gradient + i);
    prefetch_ahead(exp_avg + i);
    prefetch_ahead(second_moment + i);
    frozen_lanes<F>(w + i, gradient + i, exp_avg + i, second_moment + i, factors);
  }
  for (; i < count; ++i) {
    frozen_lanes<float>(w + i, gradient + i, exp_avg + i, second_moment + i, factors);
  }
}

// A positive, finite, normal double x is fraction · 2^(exponent - 1023) with a fraction in [0.75,
// 1.5). D is double or a vector of doubles, W the 64-bit words of the same size.
template <class D, class W>
struct Parts {
  D fraction;
  W exponent;
};
template <class D, class W>
Parts<D, W> parts_of(W bits) {
  const W exponent = (bits + (uint64_t{1} << 51)) >> 52;
  return {std::bit_cast<D>(bits - (exponent << 52) + (uint64_t{1023} << 52)), exponent};
}

constexpr double kLogarithmOf2 = 0.693147180559945309417;

// ln x: with s = (f - 1) / (f + 1), |s| <= 1/5, ln f = 2 (s + s³/3 + s⁵/5 + …). The truncation
// error is under 2^-56 of it.
inline double logarithm(double x) {
  const auto [f, exponent] = parts_of<double>(std::bit_cast<uint64_t>(x));
  const double s = (f - 1.0) / (f + 1.0), square = s * s;
  double sum = 0.0;
  for (int k = 23; k >= 3; k -= 2) sum = (sum + 1.0 / k) * square;
  return 2.0 * (s + s * sum) +
         static_cast<double>(static_cast<int64_t>(exponent) - 1023) * kLogarithmOf2;
}

// Keeps a sum of logarithms as a product of at most 2^10 fractions, which neither overflows nor
// underflows, and a sum of exponents.
template <class D, class W>
struct ChangeLanes {
  D sum = {}, product = D{} + 1.0;
  W exponents = {}, nonzero = {};

  void add(D g, D v, double rest) {
    const W bits = std::bit_cast<W>(rest * (g * g - v)) & (~uint64_t{0} >> 1);
    const W none = {}, one = none + 1, bits_of_1 = none + (uint64_t{1023} << 52);
    const auto [fraction, exponent] = parts_of<D>(bits == none ? bits_of_1 : bits);
    sum += std::bit_cast<D>(bits);
    product *= fraction;
    exponents += exponent;
    nonzero += bits == none ? none : one;
  }
};
using ChangeLane = ChangeLanes<double, uint64_t>;

constexpr int64_t kChangeLanes = 16;

// Sixteen consecutive entries at once, in vectors of doubles as wide as F.
template <class F>
struct ChangeVectors {
  static constexpr size_t kWidth = sizeof(F) / sizeof(double), kParts = kChangeLanes / kWidth;
  using Doubles = VectorOf<F, double>;
  using Lanes = ChangeLanes<Doubles, VectorOf<F, uint64_t>>;
  Lanes parts[kParts];

  template <size_t... I>
  void add(const float* gradient, const float* v, float divisor, double rest,
           std::index_sequence<I...>) {
    const auto add_lanes = [&]<size_t kFirst>(std::integral_constant<size_t, kFirst>) {
      const F g = load_lanes<F>(gradient + kFirst * kWidth) / divisor;
      const F before = load_lanes<F>(v + kFirst * kWidth);
      parts[kFirst].add(half_as_doubles<0>(g), half_as_doubles<0>(before), rest);
      parts[kFirst + 1].add(half_as_doubles<1>(g), half_as_doubles<1>(before), rest);
    };
    (add_lanes(std::integral_constant<size_t, 2 * I>()), ...);
  }
};

inline MomentChange sum_of(const ChangeLane (&lanes)[kChangeLanes], int64_t count) {
  MomentChange change;
  int64_t exponents = -1023 * count;
  for (const ChangeLane& lane : lanes) {
    change.sum += lane.sum;
    change.sum_of_logarithms += logarithm(lane.product);
    exponents += static_cast<int64_t>(lane.exponents);
    change.nonzero += static_cast<int64_t>(lane.nonzero);
  }
  change.sum_of_logarithms += static_cast<double>(exponents) * kLogarithmOf2;
  // The bits of an infinity or NaN have no fraction and exponent.
  if (!(change.sum < std::numeric_limits<double>::infinity())) {
    change.sum_of_logarithms = change.sum;
  }
  return change;
}

template <class F>
MomentChange moment_change_of(const float* gradient, const float* v, int64_t count, float divisor,
                              float beta) {
  const double rest = 1.0 - static_cast<double>(beta);
  ChangeLane lanes[kChangeLanes];
  int64_t i = 0;
  if constexpr (sizeof(F) != sizeof(float)) {
    using Vectors = ChangeVectors<F>;
    Vectors vectors;
    for (; i + kChangeLanes <= count; i += kChangeLanes) {
      prefetch_ahead(gradient + i);
      prefetch_ahead(v + i);
      vectors.add(gradient + i, v + i, divisor, rest,
                  std::make_index_sequence<Vectors::kParts / 2>());
    }
    for (size_t k = 0; k < kChangeLanes; ++k) {
      const auto& part = vectors.parts[k / Vectors::kWidth];
      const size_t lane = k % Vectors::kWidth;
      lanes[k] = {part.sum[lane], part.product[lane], part.exponents[lane], part.nonzero[lane]};
    }
  }
  for (; i < count; ++i) lanes[i % kChangeLanes].add(gradient[i] / divisor, v[i], rest);
  return sum_of(lanes, count);
}

template <class F>
constexpr AdamWTable kTable<AdamWTable, F> = {.frozen = frozen_entries<F>,
                                              .moment_change = moment_change_of<F>};

}  // namespace
}  // namespace twofour::kernels
