#include "twofour/kernels/training/gelu.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "twofour/kernels/kernels_testing.h"

namespace twofour::kernels {
namespace {

const double kScale = std::sqrt(2 / M_PI);

double exact_gelu(double z) {
  return 0.5 * z * (1 + std::tanh(kScale * (z + 0.044715 * z * z * z)));
}

double exact_gradient(double z) {
  const double t = std::tanh(kScale * (z + 0.044715 * z * z * z));
  return 0.5 * (1 + t) + 0.5 * z * (1 - t * t) * kScale * (1 + 3 * 0.044715 * z * z);
}

template <class T>
class Gelu : public ::testing::Test {};
using Types = ::testing::Types<float, bfloat16, float16>;
TYPED_TEST_SUITE(Gelu, Types);

template <class T>
constexpr double kRounding = 1e-6;
template <>
constexpr double kRounding<bfloat16> = 4e-3;
template <>
constexpr double kRounding<float16> = 6e-4;

TYPED_TEST(Gelu, and_its_gradient_are_the_formulas_values) {
  std::vector<TypeParam> z(4001), dy(z.size()), y(z.size()), dz(z.size());
  for (size_t i = 0; i < z.size(); ++i) {
    store(static_cast<float>(i) * 6e-3f - 12.0f, z[i]);
    store(1.5f - static_cast<float>(i % 7), dy[i]);
  }
  const auto count = static_cast<int64_t>(z.size());
  gelu(z.data(), count, y.data());
  gelu_gradient(z.data(), dy.data(), count, dz.data());
  for (size_t i = 0; i < z.size(); ++i) {
    const double at = to_float(z[i]), factor = to_float(dy[i]);
    EXPECT_NEAR(to_float(y[i]), exact_gelu(at),
                kRounding<TypeParam> * (std::fabs(exact_gelu(at)) + 1))
        << at;
    EXPECT_NEAR(to_float(dz[i]), factor * exact_gradient(at),
                kRounding<TypeParam> * std::fabs(factor) * 2)
        << at;
  }
}

TYPED_TEST(Gelu, has_the_same_bits_for_every_instruction_set_and_thread_count) {
  for (const size_t count : {1u, 15u, 33u, 20003u}) {
    const auto z = hostile_values<TypeParam>(count, 40), dy = hostile_values<TypeParam>(count, 41);
    std::vector<uint32_t> expected_y, expected_dz;
    for_each_instruction_set_and_thread_count([&](const char* name) {
      std::vector<TypeParam> y(count), dz(count);
      gelu(z.data(), static_cast<int64_t>(count), y.data());
      gelu_gradient(z.data(), dy.data(), static_cast<int64_t>(count), dz.data());
      if (expected_y.empty()) expected_y = bits_of_all(y), expected_dz = bits_of_all(dz);
      // The sign and payload of a NaN may differ.
      const auto same = [](const std::vector<TypeParam>& values,
                           const std::vector<uint32_t>& bits) {
        for (size_t i = 0; i < values.size(); ++i) {
          if (!std::isnan(to_float(values[i])) && bits_of_one(values[i]) != bits[i]) return false;
        }
        return true;
      };
      EXPECT_TRUE(same(y, expected_y)) << name << " " << count;
      EXPECT_TRUE(same(dz, expected_dz)) << name << " " << count;
    });
  }
}

}  // namespace
}  // namespace twofour::kernels
