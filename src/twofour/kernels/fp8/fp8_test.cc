#include "twofour/kernels/fp8/fp8.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "twofour/kernels/kernels_testing.h"

#include "testing.h"

namespace twofour::kernels {
namespace {

constexpr Float8 kFormats[] = {Float8::kE4M3, Float8::kE5M2};
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// The value of a byte, from the definition of the formats (arXiv 2209.05433).
double definition(uint32_t byte, Float8 format) {
  const bool e4m3 = format == Float8::kE4M3;
  const uint32_t fraction_bits = e4m3 ? 3 : 2;
  const int bias = e4m3 ? 7 : 15,
            exponent = static_cast<int>(byte >> fraction_bits & (e4m3 ? 15u : 31u));
  const uint32_t fraction = byte & ((1u << fraction_bits) - 1u);
  const double sign = byte & 0x80u ? -1.0 : 1.0,
               part = fraction / std::ldexp(1.0, static_cast<int>(fraction_bits));
  if (e4m3 && (byte & 0x7fu) == 0x7fu) return NAN;
  if (!e4m3 && exponent == 31) return fraction == 0 ? sign * kInfinity : NAN;
  return exponent == 0 ? sign * std::ldexp(part, 1 - bias)
                       : sign * std::ldexp(1.0 + part, exponent - bias);
}

// The byte of the largest value; smaller bytes are the smaller magnitudes, in order.
constexpr uint32_t last_byte(Float8 format) { return format == Float8::kE4M3 ? 0x7e : 0x7b; }

float rounded(float value, Float8 format) {
  float out;
  round_to_float8(&value, 1, format, 1.0f, &out);
  return out;
}

TEST(Float8, every_value_of_the_format_rounds_to_itself) {
  for (const Float8 format : kFormats) {
    EXPECT_EQ(definition(last_byte(format), format), largest(format));
    for (uint32_t byte = 0; byte < 256; ++byte) {
      const auto value = static_cast<float>(definition(byte, format));
      if (!std::isfinite(value)) continue;
      EXPECT_EQ(bits_of(rounded(value, format)), bits_of(value));
    }
  }
}

TEST(Float8, rounds_to_nearest_and_ties_to_even) {
  for (const Float8 format : kFormats) {
    for (uint32_t byte = 0; byte < last_byte(format); ++byte) {
      const double below = definition(byte, format), above = definition(byte + 1, format);
      const auto middle = static_cast<float>((below + above) / 2);
      const double even = byte % 2 == 0 ? below : above;
      EXPECT_EQ(rounded(middle, format), even);
      EXPECT_EQ(rounded(std::nextafter(middle, 0.0f), format), below);
      EXPECT_EQ(rounded(std::nextafter(middle, kInfinity), format), above);
      EXPECT_EQ(rounded(-middle, format), -even);
    }
  }
}

TEST(Float8, saturates_and_keeps_nan) {
  for (const Float8 format : kFormats) {
    for (const float large : {largest(format) * 1.01f, 1e30f, kInfinity}) {
      EXPECT_EQ(rounded(large, format), largest(format));
      EXPECT_EQ(rounded(-large, format), -largest(format));
    }
    EXPECT_TRUE(std::isnan(rounded(std::nanf(""), format)));
  }
}

TEST(Float8, equals_the_golden_values_of_torch) {
  const auto golden = testing::golden("fp8_rounding");
  const auto values = golden.at("value").floats();
  for (const Float8 format : kFormats) {
    const auto& expected =
        golden.at(format == Float8::kE4M3 ? "e4m3_saturating" : "e5m2_saturating").values;
    std::vector<float> out(values.size());
    round_to_float8(values.data(), static_cast<int64_t>(values.size()), format, 1.0f, out.data());
    for (size_t i = 0; i < out.size(); ++i) {
      if (std::isnan(expected[i])) {
        EXPECT_TRUE(std::isnan(out[i])) << values[i];
      } else {
        EXPECT_EQ(out[i], expected[i]) << values[i];
      }
    }
  }
}

template <class T>
class Float8Of : public ::testing::Test {};
using Types = ::testing::Types<float, bfloat16, float16>;
TYPED_TEST_SUITE(Float8Of, Types);

TYPED_TEST(Float8Of, has_the_same_bits_for_every_instruction_set_and_thread_count) {
  using T = TypeParam;
  for (const size_t count : {1u, 7u, 8u, 9u, 16u, 31u, 33u, 1000u, 70001u}) {
    const auto in = hostile_values<T>(count + 1, 31);
    const auto length = static_cast<int64_t>(count);
    for (const Float8 format : kFormats) {
      for (const float scale : {1.0f, 0x1p-9f, 37.3f, 1e4f}) {
        std::vector<T> out(count);
        std::vector<uint32_t> reference;
        for_each_instruction_set_and_thread_count([&](const char* name) {
          round_to_float8(in.data() + 1, length, format, scale, out.data());
          auto bits = bits_of_all(out);
          scale_to_float8(in.data() + 1, length, format, scale, out.data());
          for (const uint32_t one : bits_of_all(out)) bits.push_back(one);
          bits.push_back(bits_of(largest_magnitude(in.data() + 1, length)));
          if (reference.empty()) reference = bits;
          ASSERT_EQ(bits, reference) << name << " " << count;
        });
      }
    }
  }
}

// All 65536 values of the 16-bit types, checked by a search among the format's values.
TYPED_TEST(Float8Of, every_16_bit_value_becomes_the_nearest) {
  using T = TypeParam;
  std::vector<T> in(65536), out(65536);
  for (uint32_t i = 0; i < 65536; ++i) store(float_from_bits(i << 16), in[i]);
  for (const Float8 format : kFormats) {
    std::vector<double> values;
    for (uint32_t byte = 0; byte <= last_byte(format); ++byte) {
      values.push_back(definition(byte, format));
    }
    for_each_instruction_set_and_thread_count([&](const char* name) {
      round_to_float8(in.data(), 65536, format, 1.0f, out.data());
      for (size_t i = 0; i < 65536; ++i) {
        const float x = to_float(in[i]), y = to_float(out[i]);
        if (std::isnan(x)) {
          ASSERT_TRUE(std::isnan(y)) << name << " " << i;
          continue;
        }
        ASSERT_EQ(std::signbit(y), std::signbit(x)) << name << " " << x;
        const auto at = std::lower_bound(values.begin(), values.end(), std::fabs(y));
        ASSERT_TRUE(at != values.end() && *at == std::fabs(y)) << name << " " << x;
        const double clamped = std::fmin(std::fabs(x), largest(format)),
                     off = std::fabs(clamped - *at);
        const double below = at == values.begin() ? -1.0 : at[-1];
        const double above = at + 1 == values.end() ? 1e9 : at[1];
        ASSERT_LE(off, std::fmin(clamped - below, above - clamped)) << name << " " << x;
      }
    });
  }
}

TYPED_TEST(Float8Of, rounded_values_are_the_scaled_ones_divided_by_the_scale) {
  using T = TypeParam;
  constexpr size_t kCount = 5003;
  const auto in = hostile_values<T>(kCount, 33);
  std::vector<T> scaled(kCount), out(kCount), expected(kCount);
  for (const Float8 format : kFormats) {
    for (const float scale : {1.0f, 0x1p-9f, 37.3f, 1e4f}) {
      for_each_instruction_set_and_thread_count([&](const char* name) {
        scale_to_float8(in.data(), kCount, format, scale, scaled.data());
        round_to_float8(in.data(), kCount, format, scale, out.data());
        for (size_t i = 0; i < kCount; ++i) {
          const float value = to_float(scaled[i]);
          if (!std::isnan(value)) {
            ASSERT_EQ(rounded(to_float(in[i]) * scale, format), value) << name << " " << i;
          }
          store(value / scale, expected[i]);
        }
        ASSERT_EQ(bits_of_all(out), bits_of_all(expected)) << name << " " << scale;
      });
    }
  }
}

TYPED_TEST(Float8Of, largest_magnitude_counts_infinities_and_nan) {
  using T = TypeParam;
  for (const size_t count : {1u, 5u, 17u, 64u, 100u, 50000u}) {
    std::vector<T> in(count);
    const auto values = normal_floats(count, 32);
    float expected = 0.0f;
    for (size_t i = 0; i < count; ++i) {
      store(values[i], in[i]);
      expected = std::fmax(expected, std::fabs(to_float(in[i])));
    }
    for_each_instruction_set_and_thread_count([&](const char* name) {
      const auto length = static_cast<int64_t>(count);
      auto copy = in;
      ASSERT_EQ(largest_magnitude(copy.data(), length), expected) << name;
      copy.push_back({});
      store(-kInfinity, copy.back());
      ASSERT_EQ(largest_magnitude(copy.data(), length + 1), kInfinity) << name;
      std::swap(copy.back(), copy.front());
      ASSERT_EQ(largest_magnitude(copy.data(), length + 1), kInfinity) << name;
      store(std::nanf(""), copy[count / 2]);
      ASSERT_TRUE(std::isnan(largest_magnitude(copy.data(), length + 1))) << name;
    });
  }
  EXPECT_EQ(largest_magnitude<T>(nullptr, 0), 0.0f);
}

TEST(Float8Scale, maps_the_largest_to_the_largest_and_is_1_without_one) {
  EXPECT_EQ(float8_scale(2.0f, Float8::kE4M3), 224.0f);
  EXPECT_EQ(float8_scale(2.0f, Float8::kE5M2), 28672.0f);
  for (const float amax : {0.0f, kInfinity, std::nanf("")}) {
    EXPECT_EQ(float8_scale(amax, Float8::kE4M3), 1.0f);
  }
  // An infinite scale would make NaN of zeros beside such a small maximum.
  EXPECT_EQ(float8_scale(1e-42f, Float8::kE5M2), std::numeric_limits<float>::max());
}

}  // namespace
}  // namespace twofour::kernels
