// Attention of one token over one head of the cache. Sums have eight lanes on every instruction
// set, so all give the same bits.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "twofour/kernels/decode/attend.h"
#include "twofour/kernels/rows/exponential.h"
#include "twofour/kernels/rows/table.h"
#include "twofour/kernels/simd/lanes_memory.h"

namespace twofour::kernels {

template <class T>
struct AttendTable {
  /// `count` queries of one token share a key-value head. `scratch` holds attend_scratch(count,
  /// tokens, width) floats.
  void (*attend)(const T* queries, int64_t count, const T* keys, const T* values, int64_t tokens,
                 int64_t width, float* scratch, T* out);
};

namespace {

// Eight floats; a vector if the instruction set has one.
#if defined(__AVX2__)
using EightPart = Floats8;
#else
using EightPart = float;
#endif

struct Eight {
  static constexpr int kWidth = sizeof(EightPart) / sizeof(float), kParts = 8 / kWidth;
  EightPart part[kParts];

  template <class T>
  static Eight load(const T* x) {
    Eight all;
    for (int i = 0; i < kParts; ++i) all.part[i] = load_lanes<EightPart>(x + i * kWidth);
    return all;
  }
  void store_to(float* out) const {
    for (int i = 0; i < kParts; ++i) store_lanes(part[i], out + i * kWidth);
  }
  void add_product(const Eight& a, const Eight& b) {
    for (int i = 0; i < kParts; ++i) part[i] += a.part[i] * b.part[i];
  }
  void add_scaled(float scale, const Eight& a) {
    for (int i = 0; i < kParts; ++i) part[i] += scale * a.part[i];
  }
  // Four at a time: a quarter of the dependent additions.
  void add_scaled(const float* scales, const Eight& a, const Eight& b, const Eight& c,
                  const Eight& d) {
    for (int i = 0; i < kParts; ++i) {
      part[i] += (scales[0] * a.part[i] + scales[1] * b.part[i]) +
                 (scales[2] * c.part[i] + scales[3] * d.part[i]);
    }
  }
  float total() const {
    float lane[8];
    store_to(lane);
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) +
           ((lane[4] + lane[5]) + (lane[6] + lane[7]));
  }
};

// The totals of eight vectors.
inline Eight totals_of(const Eight (&all)[8]) {
  Eight totals;
#if defined(__AVX2__)
  const auto quarters = [&](int i) {
    return _mm256_hadd_ps(_mm256_hadd_ps(all[i].part[0], all[i + 1].part[0]),
                          _mm256_hadd_ps(all[i + 2].part[0], all[i + 3].part[0]));
  };
  const __m256 first = quarters(0), second = quarters(4);
  totals.part[0] =
      _mm256_permute2f128_ps(first, second, 0x20) + _mm256_permute2f128_ps(first, second, 0x31);
#else
  for (int i = 0; i < 8; ++i) totals.part[i] = all[i].total();
#endif
  return totals;
}

// The remainder of a row after the eights.
template <class T>
float rest_of_dot(const float* query, const T* key, int64_t width) {
  float sum = 0.0f;
  for (int64_t i = width / 8 * 8; i < width; ++i) sum += query[i] * to_float(key[i]);
  return sum;
}

// query · key times `scale` for kKeys keys.
template <int kKeys, class T>
void dots(const float* query, const T* keys, int64_t width, float scale, float* out) {
  Eight sum[8] = {};
  for (int64_t i = 0; i + 8 <= width; i += 8) {
    const Eight part = Eight::load(query + i);
    for (int k = 0; k < kKeys; ++k) sum[k].add_product(part, Eight::load(keys + k * width + i));
  }
  float totals[8];
  if constexpr (kKeys == 8) {
    totals_of(sum).store_to(totals);
  } else {
    for (int k = 0; k < kKeys; ++k) totals[k] = sum[k].total();
  }
  if (width % 8 != 0) {
    for (int k = 0; k < kKeys; ++k) totals[k] += rest_of_dot(query, keys + k * width, width);
  }
  for (int k = 0; k < kKeys; ++k) out[k] = totals[k] * scale;
}

// sums [8 · kEights] of one query += weights [tokens] times the columns of values from `values` on,
// rows `width` apart.
template <int kEights, class T>
void add_values(const float* weights, int64_t tokens, const T* values, int64_t width, float* sums) {
  Eight sum[kEights];
  for (int i = 0; i < kEights; ++i) sum[i] = Eight::load(sums + 8 * i);
  const auto value = [&](int64_t token, int i) {
    return Eight::load(values + token * width + 8 * i);
  };
  int64_t t = 0;
  for (; t + 4 <= tokens; t += 4) {
    for (int i = 0; i < kEights; ++i) {
      sum[i].add_scaled(weights + t, value(t, i), value(t + 1, i), value(t + 2, i),
                        value(t + 3, i));
    }
  }
  for (; t < tokens; ++t) {
    for (int i = 0; i < kEights; ++i) sum[i].add_scaled(weights[t], value(t, i));
  }
  for (int i = 0; i < kEights; ++i) sum[i].store_to(sums + 8 * i);
}

template <class T>
void add_all_values(const float* weights, int64_t tokens, const T* values, int64_t width,
                    float* sums) {
  int64_t i = 0;
  for (; i + 32 <= width; i += 32) add_values<4>(weights, tokens, values + i, width, sums + i);
  for (; i + 8 <= width; i += 8) add_values<1>(weights, tokens, values + i, width, sums + i);
  for (; i < width; ++i) {
    for (int64_t t = 0; t < tokens; ++t) sums[i] += weights[t] * to_float(values[t * width + i]);
  }
}

// Turns scores into e^(score - largest), rounded to T; returns the sum of the unrounded values.
template <class T>
float softmax_terms(float* scores, int64_t tokens) {
  const float sum = exponentials(scores, tokens, row_maximum(scores, tokens), scores);
  if constexpr (sizeof(T) < sizeof(float)) {
    for (int64_t t = 0; t < tokens; ++t) scores[t] = rounded_to<T>(scores[t]);
  }
  return sum;
}

template <class T>
void attend_rows(const T* queries, int64_t count, const T* keys, const T* values, int64_t tokens,
                 int64_t width, float* scratch, T* out) {
  constexpr int64_t kTokens = 64;  // their values stay in the first-level cache for all queries
  const float scale = 1.0f / std::sqrt(static_cast<float>(width));
  float *wide = scratch, *sums = wide + count * width, *scores = sums + count * width;
  for (int64_t i = 0; i < count * width; ++i) {
    wide[i] = to_float(queries[i]);
    sums[i] = 0.0f;
  }
  const auto score = [&](auto keys_at_once, int64_t t) {
    for (int64_t q = 0; q < count; ++q) {
      dots<keys_at_once>(wide + q * width, keys + t * width, width, scale, scores + q * tokens + t);
    }
  };
  int64_t scored = 0;
  for (; scored + 8 <= tokens; scored += 8) score(std::integral_constant<int, 8>(), scored);
  for (; scored < tokens; ++scored) score(std::integral_constant<int, 1>(), scored);
  float* const totals = wide;  // the queries are no longer needed
  for (int64_t q = 0; q < count; ++q) totals[q] = softmax_terms<T>(scores + q * tokens, tokens);
  for (int64_t t = 0; t < tokens; t += kTokens) {
    const int64_t here = tokens - t < kTokens ? tokens - t : kTokens;
    for (int64_t q = 0; q < count; ++q) {
      add_all_values(scores + q * tokens + t, here, values + t * width, width, sums + q * width);
    }
  }
  for (int64_t q = 0; q < count; ++q) {
    for (int64_t i = 0; i < width; ++i) store(sums[q * width + i] / totals[q], out[q * width + i]);
  }
}

template <class T, class F>
constexpr AttendTable<T> kTable<AttendTable<T>, F> = {.attend = attend_rows<T>};

}  // namespace
}  // namespace twofour::kernels
