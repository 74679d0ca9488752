// The bodies of rows.h, as loops that the compiler vectorises. Included by one source file an
// instruction set; everything here has internal linkage, so that no file runs another's code. The
// operations and the order of every sum are fixed: all instruction sets give the same bits.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "twofour/kernels/adamw_loops.h"
#include "twofour/kernels/forward_weight_loops.h"
#include "twofour/kernels/fp8_loops.h"
#include "twofour/kernels/group.h"
#include "twofour/kernels/mvue_loops.h"
#include "twofour/kernels/rows.h"
#include "twofour/kernels/soft_threshold_loops.h"

namespace twofour::kernels {
namespace {

constexpr int64_t kLanes = 16;  // partial sums of a row

// e^x for x <= 0, relative error under 2e-7, 0 below -87: argument reduction by Cody and Waite,
// then a polynomial of degree 6. NaN stays NaN.
inline float exponential(float x) {
  constexpr float kMagic = 12582912.0f;  // 1.5 · 2^23: adding it rounds to an integer
  const float clamped = x < -87.0f ? -87.0f : x;
  const float shifted = clamped * 1.44269504f + kMagic;
  const float n = shifted - kMagic;
  const float r = clamped - n * 0.693359375f - n * -2.12194440e-4f;
  float p = 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const uint32_t exponent = bits_of(shifted) + 127 - 0x4B400000u;
  const float value = p * float_from_bits(exponent << 23);
  return x < -87.0f ? 0.0f : value;
}

template <class T>
float row_maximum(const T* row, int64_t columns) {
  float lanes[kLanes];
  for (float& lane : lanes) lane = -std::numeric_limits<float>::infinity();
  const int64_t whole = columns / kLanes * kLanes;
  for (int64_t j = 0; j < whole; j += kLanes) {
    for (int64_t k = 0; k < kLanes; ++k) lanes[k] = maximum(lanes[k], to_float(row[j + k]));
  }
  for (int64_t j = whole; j < columns; ++j) lanes[0] = maximum(lanes[0], to_float(row[j]));
  for (int64_t k = 1; k < kLanes; ++k) lanes[0] = maximum(lanes[0], lanes[k]);
  return lanes[0];
}

// Writes e^(logit - top) and returns their sum.
template <class T>
float exponentials(const T* row, int64_t columns, float top, float* out) {
  float lanes[kLanes] = {};
  const int64_t whole = columns / kLanes * kLanes;
  for (int64_t j = 0; j < whole; j += kLanes) {
    for (int64_t k = 0; k < kLanes; ++k) {
      const float value = exponential(to_float(row[j + k]) - top);
      out[j + k] = value;
      lanes[k] += value;
    }
  }
  for (int64_t j = whole; j < columns; ++j) {
    out[j] = exponential(to_float(row[j]) - top);
    lanes[0] += out[j];
  }
  float sum = 0.0f;
  for (float lane : lanes) sum += lane;
  return sum;
}

template <class T>
float cross_entropy_row(T* row, int64_t target, int64_t columns, const float* scale,
                        float* scratch) {
  const float top = row_maximum(row, columns);
  const float sum = exponentials(row, columns, top, scratch);
  const float nll = std::log(sum) + top - to_float(row[target]);
  if (scale) {
    const float factor = *scale / sum;
    scratch[target] -= sum;
    for (int64_t j = 0; j < columns; ++j) store(scratch[j] * factor, row[j]);
  }
  return nll;
}

template <class T>
void accumulate_entries(const T* in, float* out, int64_t count) {
  for (int64_t i = 0; i < count; ++i) out[i] += to_float(in[i]);
}

inline void add_scaled_rows(const float* scales, const float* const* rows, int64_t count,
                            int64_t column, int64_t columns, float* y) {
  float* __restrict out = y + column;
  int64_t i = 0;
  for (; i + 4 <= count; i += 4) {  // y comes from the first-level cache once for four
    const float a = scales[i], b = scales[i + 1], c = scales[i + 2], d = scales[i + 3];
    const float* const p = rows[i] + column;
    const float* const q = rows[i + 1] + column;
    const float* const r = rows[i + 2] + column;
    const float* const s = rows[i + 3] + column;
    for (int64_t j = 0; j < columns; ++j) {
      out[j] = (((out[j] + a * p[j]) + b * q[j]) + c * r[j]) + d * s[j];
    }
  }
  for (; i < count; ++i) {
    const float scale = scales[i];
    const float* const row = rows[i] + column;
    for (int64_t j = 0; j < columns; ++j) out[j] += scale * row[j];
  }
}

constexpr float kGeluScale = 2 * 0.7978845608f;  // 2 sqrt(2/π)
constexpr float kGeluCube = 0.044715f;

// 1 / (1 + e^-v), both tails exact.
inline float logistic(float v) {
  const float e = exponential(-magnitude(v));
  return (v < 0.0f ? e : 1.0f) / (1.0f + e);
}

template <class T>
void gelu_entries(const T* z, int64_t count, T* out) {
  for (int64_t i = 0; i < count; ++i) {
    const float x = to_float(z[i]);
    store(x * logistic(kGeluScale * (x + kGeluCube * x * x * x)), out[i]);
  }
}

template <class T>
void gelu_gradient_entries(const T* z, const T* dy, int64_t count, T* dz) {
  for (int64_t i = 0; i < count; ++i) {
    const float x = to_float(z[i]);
    const float s = logistic(kGeluScale * (x + kGeluCube * x * x * x));
    const float slope = kGeluScale * (1.0f + 3.0f * kGeluCube * x * x), bend = s * (1.0f - s);
    // Far out the slope is infinite where the bend is 0.
    store(to_float(dy[i]) * (bend > 0.0f ? s + x * bend * slope : s), dz[i]);
  }
}

// F is what holds the same entry of the groups that are treated at once.
template <class T, class F>
constexpr RowLoops<T> kLoops = {soft_threshold_entries<T, F>,
                                soft_threshold_products<F>,
                                magnitude_entries<T, F>,
                                masked_entries<T, F>,
                                add_decay<F>,
                                frozen_entries<F>,
                                moment_change_of<F>,
                                mvue_rows<T, Mvue::kApproximate, F>,
                                mvue_rows<T, Mvue::kExact, F>,
                                mvue_block_rows<T>,
                                cross_entropy_row<T>,
                                accumulate_entries<T>,
                                add_scaled_rows,
                                gelu_entries<T>,
                                gelu_gradient_entries<T>,
                                round_entries_to_float8<T, F>,
                                scale_entries_to_float8<T, F>,
                                encode_entries_as_float8<T, F>,
                                largest_bits<T, F>};

}  // namespace
}  // namespace twofour::kernels
