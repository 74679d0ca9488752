#include "twofour/kernels/forward_weight/forward_weight.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "twofour/kernels/group.h"
#include "twofour/kernels/kernels_testing.h"
#include "twofour/kernels/masks/mask.h"

#include "testing.h"

namespace twofour::kernels {
namespace {

constexpr size_t kWeightCounts[] = {0, 4, 8, 60, 64, 68, 128, 1000, 70004};

// Only the hostile values contain ties. The data starts at entry 1, unaligned.
std::vector<float> weight_of(size_t count) {
  auto w = hostile_values<float>(count + 1, static_cast<uint32_t>(count));
  if (count > 1000) std::ranges::copy(normal_floats(count / 2, 51), w.begin());
  return w;
}

std::vector<uint8_t> packed(const std::vector<uint8_t>& mask) {
  std::vector<uint8_t> bits((mask.size() + 7) / 8);
  pack_mask(mask.data(), static_cast<int64_t>(mask.size()), bits.data());
  return bits;
}

// A mask that is not 2:4, with set bits beyond its last entry.
std::vector<uint8_t> random_bits(size_t count) {
  std::mt19937 random(static_cast<uint32_t>(count) + 52);
  std::vector<uint8_t> bits((count + 7) / 8);
  for (uint8_t& byte : bits) byte = static_cast<uint8_t>(random() | 0x1u);
  return bits;
}

bool keeps(const std::vector<uint8_t>& bits, size_t i) { return bits[i / 8] >> (7 - i % 8) & 1; }

template <class T>
int64_t zeros_of(const std::vector<T>& values) {
  return std::ranges::count_if(values, [](T value) { return to_float(value) == 0.0f; });
}

template <class T>
class ForwardWeightTo : public ::testing::Test {};
using Types = ::testing::Types<float, bfloat16, float16>;
TYPED_TEST_SUITE(ForwardWeightTo, Types);

TYPED_TEST(ForwardWeightTo,
           magnitude_is_the_definition_for_every_instruction_set_and_thread_count) {
  for (const size_t count : kWeightCounts) {
    const auto w = weight_of(count);
    std::vector<uint8_t> before((count + 7) / 8, 0xa5), kept(count);
    if (count % 8 != 0) before.back() = 0xa0;
    std::vector<TypeParam> expected(count), out(count);
    int64_t flips = 0;
    for (size_t i = 0; i < count; ++i) {
      kept[i] = is_kept(&w[1 + i / 4 * 4], 4, 2, static_cast<int>(i % 4));
      store(kept[i] ? w[1 + i] : 0.0f, expected[i]);
      flips += keeps(before, i) != kept[i];
    }
    for_each_instruction_set_and_thread_count([&](const char* name) {
      auto mask = before;
      const auto counts =
          magnitude24(w.data() + 1, static_cast<int64_t>(count), out.data(), mask.data());
      ASSERT_EQ(bits_of_all(out), bits_of_all(expected)) << name << " " << count;
      ASSERT_EQ(mask, packed(kept)) << name << " " << count;
      ASSERT_EQ(counts.flips, flips) << name << " " << count;
      ASSERT_EQ(counts.zeros, zeros_of(expected)) << name << " " << count;
    });
  }
}

TYPED_TEST(ForwardWeightTo, masked_is_the_definition_for_every_instruction_set_and_thread_count) {
  for (const size_t count : kWeightCounts) {
    const auto w = weight_of(count);
    const auto mask = random_bits(count);
    std::vector<TypeParam> expected(count), out(count);
    for (size_t i = 0; i < count; ++i) store(keeps(mask, i) ? w[1 + i] : 0.0f, expected[i]);
    for_each_instruction_set_and_thread_count([&](const char* name) {
      const int64_t zeros =
          masked_weight(w.data() + 1, static_cast<int64_t>(count), mask.data(), out.data());
      ASSERT_EQ(bits_of_all(out), bits_of_all(expected)) << name << " " << count;
      ASSERT_EQ(zeros, zeros_of(expected)) << name << " " << count;
    });
  }
}

// At the boundary of rounding to 0, for both signs.
TYPED_TEST(ForwardWeightTo, counts_what_rounds_to_zero_as_zero) {
  std::vector<float> w(64);
  for (size_t i = 0; i < w.size(); ++i) {
    const uint32_t edge = (i & 1u ? 0x00008000u : 0x33000000u) + static_cast<uint32_t>(i / 4 % 3);
    w[i] = float_from_bits((edge - 1u) | (i & 2u ? 0x80000000u : 0u));
  }
  const std::vector<uint8_t> all(8, 0xff);
  std::vector<TypeParam> out(64);
  for_each_instruction_set_and_thread_count([&](const char* name) {
    const int64_t zeros = masked_weight(w.data(), 64, all.data(), out.data());
    ASSERT_EQ(zeros, zeros_of(out)) << name;
    auto mask = all;
    const auto counts = magnitude24(w.data(), 64, out.data(), mask.data());
    ASSERT_EQ(counts.zeros, zeros_of(out)) << name;
  });
}

TEST(MaskedDecay, is_the_definition_for_every_instruction_set_and_thread_count) {
  for (const size_t count : kWeightCounts) {
    const auto w = weight_of(count);
    const auto mask = random_bits(count);
    auto before = hostile_values<float>(count + 1, 53);
    for (size_t i = 0; i < count; i += 7) before[1 + i] = float_from_bits(0x7fc12345u);
    auto expected = before;
    const float factor = 2e-4f;
    for (size_t i = 0; i < count; ++i) {
      if (!keeps(mask, i)) expected[1 + i] += factor * w[1 + i];
    }
    for_each_instruction_set_and_thread_count([&](const char* name) {
      auto gradient = before;
      add_masked_decay(w.data() + 1, mask.data(), static_cast<int64_t>(count), factor,
                       gradient.data() + 1);
      for (size_t i = 0; i <= count; ++i) {
        if (std::isnan(expected[i]) && i > 0 && !keeps(mask, i - 1)) {
          ASSERT_TRUE(std::isnan(gradient[i])) << name << " " << count;
        } else {
          ASSERT_EQ(bits_of(gradient[i]), bits_of(expected[i])) << name << " " << count << " " << i;
        }
      }
    });
  }
}

TEST(ForwardWeight, equals_the_golden_values) {
  const auto golden = testing::golden("sr_ste");
  const auto w = golden.at("weight").floats();
  auto gradient = golden.at("dw").floats();
  const auto count = static_cast<int64_t>(w.size());
  std::vector<float> out(w.size());
  std::vector<uint8_t> mask(w.size() / 8);
  magnitude24(w.data(), count, out.data(), mask.data());
  add_masked_decay(w.data(), mask.data(), count, golden.at("lambda").floats()[0], gradient.data());
  for (size_t i = 0; i < w.size(); ++i) {
    EXPECT_EQ(keeps(mask, i), golden.at("mask").values[i] != 0.0) << i;
    EXPECT_NEAR(gradient[i], golden.at("gradient").values[i], 1e-6) << i;
  }
}

TEST(ForwardWeight, refuses_a_count_that_is_no_multiple_of_4) {
  float w[6] = {}, out[6] = {};
  uint8_t mask[1] = {};
  EXPECT_THAT_ERROR(magnitude24(w, 6, out, mask), "6 weights");
  EXPECT_THAT_ERROR(masked_weight(w, 6, mask, out), "6 weights");
  EXPECT_THAT_ERROR(add_masked_decay(w, mask, 6, 1.0f, out), "6 weights");
}

}  // namespace
}  // namespace twofour::kernels
