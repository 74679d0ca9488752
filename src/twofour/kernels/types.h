// The 16-bit float that CPUs store and float32 arithmetic reads.
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

/// bfloat16 as memory holds it: the upper half of a float32.
struct bfloat16 {
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

}  // namespace twofour::kernels
