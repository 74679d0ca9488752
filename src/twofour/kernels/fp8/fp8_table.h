// FP8 for F = float, Floats8 or Floats16: see fp8.h.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "twofour/kernels/fp8/fp8_value.h"
#include "twofour/kernels/rows/table.h"
#include "twofour/kernels/simd/lanes_memory.h"

namespace twofour::kernels {

/// See fp8.h.
template <class T>
struct Float8Table {
  void (*round)(const T* in, int64_t count, Float8 format, float scale, T* out);
  void (*scale)(const T* in, int64_t count, Float8 format, float scale, T* out);
  /// The bits of the largest magnitude, or of a NaN if there is one.
  uint32_t (*largest_bits)(const T* in, int64_t count);
};

namespace {

// Calls lanes(in, out) for all `count` entries; the last ones are in a padded buffer.
template <class F, class T, class Fn>
void for_lanes(const T* in, int64_t count, T* out, Fn&& lanes) {
  constexpr int64_t kWidth = sizeof(F) / sizeof(float);
  int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) {
    prefetch_ahead(in + i);
    lanes(in + i, out + i);
  }
  if (i >= count) return;
  T rest[kWidth] = {}, result[kWidth];
  std::memcpy(rest, in + i, static_cast<size_t>(count - i) * sizeof(T));
  lanes(rest, result);
  std::memcpy(out + i, result, static_cast<size_t>(count - i) * sizeof(T));
}

// Calls fn with the format as a compile-time constant.
template <class Fn>
void for_format(Float8 format, Fn&& fn) {
  if (format == Float8::kE4M3) {
    fn(std::integral_constant<Float8, Float8::kE4M3>());
  } else {
    fn(std::integral_constant<Float8, Float8::kE5M2>());
  }
}

template <class T, class F>
void round_entries_to_float8(const T* in, int64_t count, Float8 format, float scale, T* out) {
  for_format(format, [=](auto constant) {
    for_lanes<F>(in, count, out, [scale](const T* from, T* to) {
      store_lanes(rounded_to_float8<decltype(constant)::value>(load_lanes<F>(from), scale), to);
    });
  });
}

template <class T, class F>
void scale_entries_to_float8(const T* in, int64_t count, Float8 format, float scale, T* out) {
  for_format(format, [=](auto constant) {
    for_lanes<F>(in, count, out, [scale](const T* from, T* to) {
      store_lanes(scaled_to_float8<decltype(constant)::value>(load_lanes<F>(from), scale), to);
    });
  });
}

template <class T, class F>
uint32_t largest_bits(const T* in, int64_t count) {
  using Words = WordsOf<F>;
  constexpr int64_t kWidth = sizeof(F) / sizeof(float);
  Words largest[2] = {};
  const auto take = [](Words& largest, F x) {
    const Words size = bits_of(x) & 0x7fffffffu;
    largest = largest < size ? size : largest;
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
    if (result < size) result = size;
  }
  return result;
}

template <class T, class F>
constexpr Float8Table<T> kTable<Float8Table<T>, F> = {.round = round_entries_to_float8<T, F>,
                                                      .scale = scale_entries_to_float8<T, F>,
                                                      .largest_bits = largest_bits<T, F>};

}  // namespace
}  // namespace twofour::kernels
