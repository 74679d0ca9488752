// e^x and the sums of softmax over a row, in float32. Everything has internal linkage.
#pragma once

#include <cstdint>
#include <limits>

#include "twofour/kernels/group.h"

namespace twofour::kernels {
namespace {

constexpr int64_t kLanes = 16;  // partial sums of a row

// e^x for |x| <= 87, relative error under 2e-7: argument reduction by Cody and Waite, then a
// polynomial of degree 6. NaN stays NaN.
inline float power_of_e(float x) {
  constexpr float kMagic = 12582912.0f;  // 1.5 · 2^23: adding it rounds to an integer
  const float shifted = x * 1.44269504f + kMagic;
  const float n = shifted - kMagic;
  const float r = x - n * 0.693359375f - n * -2.12194440e-4f;
  float p = 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const uint32_t exponent = bits_of(shifted) + 127 - 0x4B400000u;
  return p * float_from_bits(exponent << 23);
}

// e^x for x <= 0; 0 below -87.
inline float exponential(float x) {
  const float value = power_of_e(x < -87.0f ? -87.0f : x);
  return x < -87.0f ? 0.0f : value;
}

// 1 / (1 + e^-v); both tails are exact.
inline float logistic(float v) {
  const float e = exponential(-magnitude(v));
  return (v < 0.0f ? e : 1.0f) / (1.0f + e);
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
float rounded_to(float value) {
  T out;
  store(value, out);
  return to_float(out);
}

}  // namespace
}  // namespace twofour::kernels
