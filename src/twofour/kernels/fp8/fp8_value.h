// FP8 rounding for F = float, or vectors of numbers (see lanes.h). All instruction sets and CUDA
// share this arithmetic.
#pragma once

#include <cstdint>

#include "twofour/kernels/fp8/fp8.h"
#include "twofour/kernels/simd/lanes.h"

namespace twofour::kernels {
namespace {

// Fraction bits; the exponent of the smallest normal number, 2^kSmallest.
template <Float8 kFormat>
struct Float8Layout {
  static constexpr uint32_t kFraction = kFormat == Float8::kE4M3 ? 3 : 2;
  static constexpr int kSmallest = kFormat == Float8::kE4M3 ? -6 : -14;
  static constexpr uint32_t kSmallestBits = uint32_t{127 + kSmallest} << 23;
};

// Rounds a magnitude that is not NaN to the format; beyond the largest value, gives the largest.
template <Float8 kFormat, class F>
TWOFOUR_HOST_DEVICE F rounded_magnitude(WordsOf<F> size) {
  using Layout = Float8Layout<kFormat>;
  using Words = WordsOf<F>;
  const Words top = Words{} + bits_of(largest(kFormat));
  const Words smallest = Words{} + Layout::kSmallestBits;
  const Words clamped = size < top ? size : top, exponent = clamped & 0x7f800000u;
  // The last place of a number of this size is the last place of the format.
  const Words shift =
      (exponent < smallest ? smallest : exponent) + ((23 - Layout::kFraction) << 23);
  return float_from_bits(clamped) + float_from_bits(shift) - float_from_bits(shift);
}

/// The value of the format nearest to scale * x.
template <Float8 kFormat, class F>
TWOFOUR_HOST_DEVICE F scaled_to_float8(F x, float scale) {
  const F scaled = x * scale;
  const WordsOf<F> bits = bits_of(scaled), size = bits & 0x7fffffffu;
  const WordsOf<F> rounded = bits_of(rounded_magnitude<kFormat, F>(size)) | (bits & 0x80000000u);
  return float_from_bits(size > 0x7f800000u ? bits : rounded);
}

/// The same, divided by scale.
template <Float8 kFormat, class F>
TWOFOUR_HOST_DEVICE F rounded_to_float8(F x, float scale) {
  return scaled_to_float8<kFormat>(x, scale) / scale;
}

}  // namespace
}  // namespace twofour::kernels
