// e^x, log(x) and the sums of softmax over a row, in float32. Everything has internal linkage.
#pragma once

#include <cstdint>
#include <limits>

#include "twofour/kernels/group.h"
#include "twofour/kernels/simd/lanes.h"

namespace twofour::kernels {
namespace {

constexpr int64_t kLanes = 16;  // partial sums of a row

// e^x for |x| <= 87, relative error under 2e-7: argument reduction by Cody and Waite, then a
// polynomial of degree 6. NaN stays NaN. F is float or a vector (simd/lanes.h).
template <class F>
F power_of_e(F x) {
  constexpr float kMagic = 12582912.0f;  // 1.5 · 2^23: adding it rounds to an integer
  const F shifted = x * 1.44269504f + kMagic;
  const F n = shifted - kMagic;
  const F r = x - n * 0.693359375f - n * -2.12194440e-4f;
  F p = F{} + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const WordsOf<F> exponent = bits_of(shifted) + (127 - 0x4B400000u);
  return p * float_from_bits(exponent << 23);
}

// e^x for x <= 0; 0 below -87.
template <class F>
F exponential(F x) {
  const F least = F{} - 87.0f, zero = {};
  const F value = power_of_e(x < least ? least : x);
  return x < least ? zero : value;
}

// Replaces each x, a normal number above 0, by log(x), relative error under 2e-7, also near 1:
// x = 2^n (1 + f) with 1 + f between √½ and √2, and log(1 + f) = f - f²/2 + f³ P(f), P of degree 6
// with the least relative error of the logarithm. Several logarithms advance side by side, since
// each step of one waits for the step before.
template <class F, size_t kCount>
void take_logarithms(F (&x)[kCount]) {
  constexpr uint32_t kRootOfHalf = 0x3f3504f3u;
  F n[kCount], f[kCount], p[kCount];
  for (size_t k = 0; k < kCount; ++k) {
    const WordsOf<F> bits = bits_of(x[k]) + (0x3f800000u - kRootOfHalf);
    n[k] = float_from_bits((bits >> 23) | 0x4b000000u) - (8388608.0f + 127.0f);
    f[k] = float_from_bits((bits & 0x7fffffu) + kRootOfHalf) - 1.0f;
    p[k] = f[k] * 0.0869990289f - 0.142673969f;
  }
  const auto step = [&](float coefficient) {
    for (size_t k = 0; k < kCount; ++k) p[k] = p[k] * f[k] + coefficient;
  };
  step(0.149149001f);
  step(-0.16577597f);
  step(0.199630529f);
  step(-0.250013381f);
  step(0.333339095f);
  step(-0.5f);
  for (size_t k = 0; k < kCount; ++k) {
    const F rest = p[k] * (f[k] * f[k]) + n[k] * -2.12194440e-4f;
    x[k] = f[k] + rest + n[k] * 0.693359375f;
  }
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
