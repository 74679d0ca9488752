// 16-bit floats for storage; arithmetic on them is float32.
#pragma once

#include <cstdint>
#include <cstring>

#include "twofour/base/random.h"

namespace twofour::kernels {

TWOFOUR_HOST_DEVICE float float_from_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

TWOFOUR_HOST_DEVICE uint32_t bits_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

/// bfloat16 in memory: the upper half of a float32.
struct bfloat16 {
  uint16_t bits;
};

/// IEEE 754 binary16.
struct float16 {
  uint16_t bits;
};

TWOFOUR_HOST_DEVICE float to_float(float value) { return value; }
TWOFOUR_HOST_DEVICE float to_float(bfloat16 value) {
  return float_from_bits(uint32_t{value.bits} << 16);
}

/// Rounds to nearest, ties to even; a NaN stays a (quiet) NaN.
TWOFOUR_HOST_DEVICE void store(float value, float& out) { out = value; }
TWOFOUR_HOST_DEVICE void store(float value, bfloat16& out) {
  const uint32_t bits = bits_of(value);
  const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  out.bits = static_cast<uint16_t>(value == value ? rounded : bits >> 16 | 0x40);
}

/// A subnormal is its fraction times 2^-24, exact in float32.
TWOFOUR_HOST_DEVICE float to_float(float16 value) {
  const uint32_t sign = uint32_t{value.bits & 0x8000u} << 16, rest = value.bits & 0x7fffu;
  const uint32_t normal = (rest << 13) + (rest >= 0x7c00u ? 0x70000000u : 0x38000000u);
  const uint32_t small = bits_of(static_cast<float>(rest) * 0x1p-24f);
  return float_from_bits(sign | (rest < 0x0400u ? small : normal));
}

/// Rounds to nearest, ties to even; beyond 65504 (from 65520 on) to infinity; a NaN stays quiet.
TWOFOUR_HOST_DEVICE void store(float value, float16& out) {
  const uint32_t bits = bits_of(value), sign = bits >> 16 & 0x8000u, rest = bits & 0x7fffffffu;
  // Adding 0.5 aligns the last place of a subnormal half with the last place of the sum.
  const uint32_t small = bits_of(float_from_bits(rest) + 0.5f) - 0x3f000000u;
  const uint32_t normal = (rest - 0x38000000u + 0x0fffu + (rest >> 13 & 1u)) >> 13;
  const uint32_t finite = rest < 0x38800000u ? small : normal;
  const uint32_t large = rest > 0x7f800000u ? 0x7e00u : 0x7c00u;
  out.bits = static_cast<uint16_t>(sign | (rest >= 0x477ff000u ? large : finite));
}

}  // namespace twofour::kernels
