// The 8-bit codes of moments (small_adamw.h), for F = float, Floats8 or Floats16.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>

#include "twofour/kernels/simd/lanes_memory.h"
#include "twofour/kernels/training/small_adamw.h"

namespace twofour::kernels {
namespace {

// Of words below 2^31.
template <class F>
F floats_of(WordsOf<F> words) {
  if constexpr (sizeof(F) == sizeof(float)) {
    return static_cast<float>(words);
  } else {
    return __builtin_convertvector(reinterpret_cast<VectorOf<F, int32_t>>(words), F);
  }
}

template <class F>
WordsOf<F> load_codes(const Moment8* codes) {
  if constexpr (sizeof(F) == sizeof(float)) {
    return codes->code;
  } else {
    typename VectorOfBytes<sizeof(F) / 4, uint8_t>::Type bytes;
    std::memcpy(&bytes, codes, sizeof bytes);
    return __builtin_convertvector(bytes, WordsOf<F>);
  }
}
template <class F>
void store_codes(WordsOf<F> codes, Moment8* out) {
  if constexpr (sizeof(F) == sizeof(float)) {
    out->code = static_cast<uint8_t>(codes);
  } else {
    store_bytes(codes, &out->code);
  }
}

// A code of `kMantissa` bits of mantissa, without its sign, in units of the scale. From 2^kMantissa
// on, it is the upper part of a float32 with another exponent; adding 2^kMantissa brings smaller
// numbers there.
template <int kMantissa>
struct Codes {
  static constexpr int kDropped = 23 - kMantissa;
  static constexpr uint32_t kFirstNormal = uint32_t{1} << kMantissa;
  static constexpr float kFirst = static_cast<float>(kFirstNormal);
  // What the upper part of a float32 is above the code: of 2^kMantissa, and of small numbers.
  static constexpr uint32_t kNormal = ((127 + kMantissa) << kMantissa) - kFirstNormal;
  static constexpr uint32_t kSmall = (127 + kMantissa) << kMantissa;
  static constexpr float kLargest = static_cast<float>((2 * kFirstNormal - 1) << 14);
  static constexpr uint32_t kLargestCode = (uint32_t{16} << kMantissa) - 1;

  template <class F>
  static F value(WordsOf<F> code) {
    const F normal = float_from_bits((code + kNormal) << kDropped);
    const F small = float_from_bits((code + kSmall) << kDropped) - kFirst;
    return code < kFirstNormal ? small : normal;
  }
  // The scale of a block. With its lower bound, tiny blocks use fewer codes and nothing divides by
  // 0.
  static float scale(float largest) {
    return std::max(largest / kLargest, std::numeric_limits<float>::min());
  }
};
using FirstCodes = Codes<3>;
using SecondCodes = Codes<4>;

template <class Words>
Words at_most(Words words, uint32_t most) {
  return words > most ? Words{} + most : words;
}

// Rounds m to a code by 20 random bits.
template <class F>
WordsOf<F> first_code(F m, float scale, WordsOf<F> random20) {
  using Words = WordsOf<F>;
  constexpr uint32_t kSign = 0x80000000u;
  const Words sign = bits_of(m) & kSign;
  const F x = float_from_bits(bits_of(m) ^ sign) / scale;
  const Words normal = ((bits_of(x) + random20) >> FirstCodes::kDropped) - FirstCodes::kNormal;
  const Words small =
      ((bits_of(x + FirstCodes::kFirst) + random20) >> FirstCodes::kDropped) - FirstCodes::kSmall;
  return at_most<Words>(x < FirstCodes::kFirst ? small : normal, FirstCodes::kLargestCode) |
         sign >> 24;
}

// Rounds s = sqrt(v) to a code whose square has the mean v / scale².
template <class F>
WordsOf<F> second_code(F s, float scale, WordsOf<F> random20) {
  using Words = WordsOf<F>;
  constexpr uint32_t kUpper = ~((uint32_t{1} << SecondCodes::kDropped) - 1);
  constexpr uint32_t kNext = uint32_t{1} << SecondCodes::kDropped;
  const F x = s / scale;
  const auto is_small = x < SecondCodes::kFirst;
  const F shift = is_small ? F{} + SecondCodes::kFirst : F{};
  const Words bits = bits_of(x + shift) & kUpper;
  const F low = float_from_bits(bits) - shift, high = float_from_bits(bits + kNext) - shift;
  const F share = (x - low) * (x + low) / ((high - low) * (high + low));
  const F uniform = floats_of<F>(random20) * 0x1p-20f;
  const Words code = (bits >> SecondCodes::kDropped) -
                     (is_small ? Words{} + SecondCodes::kSmall : Words{} + SecondCodes::kNormal);
  const Words rounded = uniform < share ? code + 1u : code;
  const Words lowest = s > 0.0f ? Words{} + 1u : Words{};
  return at_most<Words>(rounded < lowest ? lowest : rounded, SecondCodes::kLargestCode);
}

}  // namespace
}  // namespace twofour::kernels
