#include "twofour/kernels/training/cross_entropy.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "twofour/kernels/kernels_testing.h"

namespace twofour::kernels {
namespace {

TEST(CrossEntropy, equals_the_definition_in_double) {
  for (const int64_t columns : {1, 2, 16, 17, 1000}) {
    constexpr int64_t kRows = 5;
    auto logits = normal_floats(static_cast<size_t>(kRows * columns), 8);
    for (float& value : logits) value *= 10.0f;
    const auto original = logits;
    std::vector<int64_t> targets(kRows);
    for (int64_t r = 0; r < kRows; ++r) targets[static_cast<size_t>(r)] = (r * 7) % columns;
    const double total =
        cross_entropy_gradient(logits.data(), targets.data(), kRows, columns, 0.5f);
    double expected_total = 0;
    for (int64_t r = 0; r < kRows; ++r) {
      double sum = 0;
      for (int64_t c = 0; c < columns; ++c) sum += std::exp(double{original[r * columns + c]});
      const int64_t target = targets[static_cast<size_t>(r)];
      expected_total += std::log(sum) - original[r * columns + target];
      for (int64_t c = 0; c < columns; ++c) {
        const double softmax = std::exp(double{original[r * columns + c]}) / sum;
        EXPECT_NEAR(logits[r * columns + c], 0.5 * (softmax - (c == target)), 1e-6);
      }
    }
    EXPECT_NEAR(total, expected_total, 1e-4);
  }
}

TEST(CrossEntropy, shows_a_nan_or_an_infinity) {
  for (const float bad : {std::nanf(""), INFINITY}) {
    std::vector<float> logits(40, 1.0f);
    logits[20] = bad;
    const int64_t target = 3;
    EXPECT_TRUE(std::isnan(cross_entropy_gradient(logits.data(), &target, 1, 40, 1.0f)));
  }
}

template <class T>
class CrossEntropyOf : public ::testing::Test {};
using Types = ::testing::Types<float, bfloat16, float16>;
TYPED_TEST_SUITE(CrossEntropyOf, Types);

TYPED_TEST(CrossEntropyOf, has_the_same_bits_for_every_instruction_set_and_thread_count) {
  constexpr int64_t kRows = 5;
  for (const int64_t columns : {1, 15, 16, 64, 65, 333}) {
    const auto values = normal_floats(static_cast<size_t>(kRows * columns), 6);
    const std::vector<int64_t> targets(kRows, columns / 2);
    std::vector<uint32_t> reference;
    for_each_instruction_set_and_thread_count([&](const char* name) {
      std::vector<TypeParam> logits(values.size());
      for (size_t i = 0; i < values.size(); ++i) store(values[i], logits[i]);
      const double nll =
          cross_entropy_gradient(logits.data(), targets.data(), kRows, columns, 0.125f);
      auto bits = bits_of_all(logits);
      bits.push_back(bits_of(static_cast<float>(nll)));
      if (reference.empty()) reference = bits;
      ASSERT_EQ(bits, reference) << name << " " << columns;
    });
  }
}

}  // namespace
}  // namespace twofour::kernels
