#include "twofour/kernels/types.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

namespace twofour::kernels {
namespace {

float16 half_of(float value) {
  float16 out;
  store(value, out);
  return out;
}

// The value of the bits, from the definition of IEEE 754 binary16.
double definition(uint32_t bits) {
  const int exponent = static_cast<int>(bits >> 10 & 31u);
  const double fraction = (bits & 1023u) / 1024.0, sign = bits & 0x8000u ? -1.0 : 1.0;
  if (exponent == 31) return fraction == 0.0 ? sign * INFINITY : NAN;
  return exponent == 0 ? sign * std::ldexp(fraction, -14)
                       : sign * std::ldexp(1.0 + fraction, exponent - 15);
}

TEST(Float16, every_value_is_read_as_defined_and_written_back) {
  for (uint32_t bits = 0; bits < 0x10000u; ++bits) {
    const float value = to_float(float16{static_cast<uint16_t>(bits)});
    if (std::isnan(definition(bits))) {
      EXPECT_TRUE(std::isnan(value)) << bits;
      EXPECT_TRUE(std::isnan(to_float(half_of(value)))) << bits;
    } else {
      EXPECT_EQ(value, definition(bits)) << bits;
      EXPECT_EQ(half_of(value).bits, bits);
    }
  }
}

TEST(Float16, rounds_to_nearest_and_ties_to_even) {
  for (uint32_t bits = 0; bits < 0x7bffu; ++bits) {
    const auto middle = static_cast<float>((definition(bits) + definition(bits + 1)) / 2);
    const uint32_t even = bits + (bits & 1u);
    EXPECT_EQ(half_of(middle).bits, even) << bits;
    EXPECT_EQ(half_of(std::nextafter(middle, 0.0f)).bits, bits);
    EXPECT_EQ(half_of(std::nextafter(middle, INFINITY)).bits, bits + 1);
  }
  EXPECT_EQ(half_of(65519.996f).bits, 0x7bffu);
  EXPECT_EQ(half_of(65520.0f).bits, 0x7c00u);
  EXPECT_EQ(half_of(-1e30f).bits, 0xfc00u);
  EXPECT_EQ(half_of(std::numeric_limits<float>::denorm_min()).bits, 0u);
}

}  // namespace
}  // namespace twofour::kernels
