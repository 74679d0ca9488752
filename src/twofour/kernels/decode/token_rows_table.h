// The operations of token_rows.h, as loops that the compiler vectorises.
#pragma once

#include <cmath>
#include <cstdint>

#include "twofour/kernels/rows/exponential.h"
#include "twofour/kernels/rows/table.h"

namespace twofour::kernels {

/// See token_rows.h.
template <class T>
struct TokenRowsTable {
  void (*layer_norm)(const T* x, int64_t count, const float* weight, const float* bias,
                     float epsilon, T* out);
  void (*rms_norm)(const T* x, int64_t count, const float* weight, float epsilon, T* out);
  void (*rotate)(T* x, int64_t half, const T* cosine, const T* sine);
  void (*silu_times)(T* gate, const T* up, int64_t count);
  void (*add)(T* x, const T* y, int64_t count);
};

namespace {

// The sum of term(entry) over a row, from kLanes partial sums.
template <class T, class Term>
float sum_of_row(const T* x, int64_t count, const Term& term) {
  float lanes[kLanes] = {};
  const int64_t whole = count / kLanes * kLanes;
  for (int64_t j = 0; j < whole; j += kLanes) {
    for (int64_t k = 0; k < kLanes; ++k) lanes[k] += term(to_float(x[j + k]));
  }
  for (int64_t j = whole; j < count; ++j) lanes[j - whole] += term(to_float(x[j]));
  float sum = 0.0f;
  for (const float lane : lanes) sum += lane;
  return sum;
}

template <class T>
void layer_norm_row(const T* x, int64_t count, const float* weight, const float* bias,
                    float epsilon, T* out) {
  const auto size = static_cast<float>(count);
  const float mean = sum_of_row(x, count, [](float v) { return v; }) / size;
  const float variance =
      sum_of_row(x, count, [mean](float v) { return (v - mean) * (v - mean); }) / size;
  const float scale = 1.0f / std::sqrt(variance + epsilon);
  for (int64_t j = 0; j < count; ++j) {
    store((to_float(x[j]) - mean) * scale * weight[j] + bias[j], out[j]);
  }
}

template <class T>
void rms_norm_row(const T* x, int64_t count, const float* weight, float epsilon, T* out) {
  const float mean =
      sum_of_row(x, count, [](float v) { return v * v; }) / static_cast<float>(count);
  const float scale = 1.0f / std::sqrt(mean + epsilon);
  for (int64_t j = 0; j < count; ++j) store(to_float(x[j]) * scale * weight[j], out[j]);
}

template <class T>
void rotate_pairs(T* x, int64_t half, const T* cosine, const T* sine) {
  for (int64_t i = 0; i < half; ++i) {
    const float a = to_float(x[i]), b = to_float(x[i + half]);
    const float c = to_float(cosine[i]), s = to_float(sine[i]);
    store(rounded_to<T>(a * c) - rounded_to<T>(b * s), x[i]);
    store(rounded_to<T>(b * c) + rounded_to<T>(a * s), x[i + half]);
  }
}

template <class T>
void silu_times_entries(T* gate, const T* up, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const float z = to_float(gate[i]);
    store(rounded_to<T>(z * logistic(z)) * to_float(up[i]), gate[i]);
  }
}

template <class T>
void add_entries(T* x, const T* y, int64_t count) {
  for (int64_t i = 0; i < count; ++i) store(to_float(x[i]) + to_float(y[i]), x[i]);
}

template <class T, class F>
constexpr TokenRowsTable<T> kTable<TokenRowsTable<T>, F> = {.layer_norm = layer_norm_row<T>,
                                                            .rms_norm = rms_norm_row<T>,
                                                            .rotate = rotate_pairs<T>,
                                                            .silu_times = silu_times_entries<T>,
                                                            .add = add_entries<T>};

}  // namespace
}  // namespace twofour::kernels
