// FP8 on F = float, Floats8 or Floats16: see fp8.h. Included by one source file an instruction set.
#pragma once

#include <cstdint>

#include "twofour/kernels/fp8.h"
#include "twofour/kernels/lanes_memory.h"

namespace twofour::kernels {
namespace {

// Bits of the fraction; the exponent of the smallest normal number, 2^kSmallest.
template <Float8 kFormat>
struct Float8Layout {
  static constexpr uint32_t kFraction = kFormat == Float8::kE4M3 ? 3 : 2;
  static constexpr int kSmallest = kFormat == Float8::kE4M3 ? -6 : -14;
  static constexpr uint32_t kSmallestBits = uint32_t{127 + kSmallest} << 23;
};

// A magnitude that is no NaN, rounded to the format; beyond the largest, the largest.
template <Float8 kFormat, class F>
F rounded_magnitude(WordsOf<F> size) {
  using Layout = Float8Layout<kFormat>;
  using Words = WordsOf<F>;
  const Words top = Words{} + bits_of(largest(kFormat));
  const Words smallest = Words{} + Layout::kSmallestBits;
  const Words clamped = size < top ? size : top, exponent = clamped & 0x7f800000u;
  // The last place of a number of this size is the format's last place.
  const Words shift =
      (exponent < smallest ? smallest : exponent) + ((23 - Layout::kFraction) << 23);
  return float_from_bits(clamped) + float_from_bits(shift) - float_from_bits(shift);
}

template <Float8 kFormat, class T, class F>
void round_lanes(const T* in, float scale, T* out) {
  const F scaled = load_lanes<F>(in) * scale;
  const WordsOf<F> bits = bits_of(scaled), size = bits & 0x7fffffffu;
  const WordsOf<F> rounded = bits_of(rounded_magnitude<kFormat, F>(size)) | (bits & 0x80000000u);
  const F value = float_from_bits(size > 0x7f800000u ? bits : rounded);
  store_lanes(value / scale, out);
}

template <Float8 kFormat, class T, class F>
void encode_lanes(const T* in, float scale, uint8_t* out) {
  using Layout = Float8Layout<kFormat>;
  using Words = WordsOf<F>;
  const Words bits = bits_of(load_lanes<F>(in) * scale), size = bits & 0x7fffffffu;
  const F rounded = rounded_magnitude<kFormat, F>(size);
  const Words normal =
      (bits_of(rounded) - Layout::kSmallestBits + (1u << 23)) >> (23 - Layout::kFraction);
  // Added to this, a subnormal number is a count of the format's last place.
  const F ones = F{} + float_from_bits(Layout::kSmallestBits + ((23 - Layout::kFraction) << 23));
  const Words subnormal = bits_of(rounded + ones) & 0xffu;
  const Words finite = bits_of(rounded) < Layout::kSmallestBits ? subnormal : normal;
  const Words code = size > 0x7f800000u ? Words{} + 0x7fu : finite;
  store_bytes(code | (bits >> 24 & 0x80u), out);
}

// Calls lanes(in, out) for all of count entries, the last of them in a buffer that is filled up.
template <class F, class In, class Out, class Fn>
void for_lanes(const In* in, int64_t count, Out* out, Fn&& lanes) {
  constexpr int64_t kWidth = sizeof(F) / sizeof(float);
  int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) {
    prefetch_ahead(in + i);
    lanes(in + i, out + i);
  }
  if (i >= count) return;
  In rest[kWidth] = {};
  Out result[kWidth];
  std::memcpy(rest, in + i, static_cast<size_t>(count - i) * sizeof(In));
  lanes(rest, result);
  std::memcpy(out + i, result, static_cast<size_t>(count - i) * sizeof(Out));
}

template <class T, class F>
void round_entries_to_float8(const T* in, int64_t count, Float8 format, float scale, T* out) {
  if (format == Float8::kE4M3) {
    for_lanes<F>(in, count, out, [scale](const T* from, T* to) {
      round_lanes<Float8::kE4M3, T, F>(from, scale, to);
    });
  } else {
    for_lanes<F>(in, count, out, [scale](const T* from, T* to) {
      round_lanes<Float8::kE5M2, T, F>(from, scale, to);
    });
  }
}

template <class T, class F>
void encode_entries_as_float8(const T* in, int64_t count, Float8 format, float scale,
                              uint8_t* out) {
  if (format == Float8::kE4M3) {
    for_lanes<F>(in, count, out, [scale](const T* from, uint8_t* to) {
      encode_lanes<Float8::kE4M3, T, F>(from, scale, to);
    });
  } else {
    for_lanes<F>(in, count, out, [scale](const T* from, uint8_t* to) {
      encode_lanes<Float8::kE5M2, T, F>(from, scale, to);
    });
  }
}

// Bits of the largest finite magnitude; of a NaN where there is one.
template <class T, class F>
uint32_t largest_bits(const T* in, int64_t count) {
  using Words = WordsOf<F>;
  constexpr int64_t kWidth = sizeof(F) / sizeof(float);
  Words largest[2] = {};
  const auto take = [](Words& largest, F x) {
    const Words size = bits_of(x) & 0x7fffffffu;
    const Words counted = size == 0x7f800000u ? Words{} : size;
    largest = largest < counted ? counted : largest;
  };
  int64_t i = 0;
  for (; i + 2 * kWidth <= count; i += 2 * kWidth) {
    prefetch_ahead(in + i);
    prefetch_ahead(in + i + kWidth);
    take(largest[0], load_lanes<F>(in + i));
    take(largest[1], load_lanes<F>(in + i + kWidth));
  }
  uint32_t lanes[2 * kWidth], result = 0;
  std::memcpy(lanes, largest, sizeof lanes);
  for (const uint32_t lane : lanes) result = result < lane ? lane : result;
  for (; i < count; ++i) {
    const uint32_t size = bits_of(to_float(in[i])) & 0x7fffffffu;
    if (size != 0x7f800000u && result < size) result = size;
  }
  return result;
}

}  // namespace
}  // namespace twofour::kernels
