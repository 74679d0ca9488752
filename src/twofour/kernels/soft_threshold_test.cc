#include "twofour/kernels/soft_threshold.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "twofour/kernels/group.h"
#include "twofour/kernels/kernels_testing.h"
#include "twofour/kernels/mask.h"

#include "testing.h"

namespace twofour::kernels {
namespace {

std::vector<uint8_t> mask_of(const std::vector<float>& weight) {
  std::vector<uint8_t> mask(weight.size());
  const auto columns = static_cast<int64_t>(weight.size());
  magnitude_mask(weight.data(), 1, columns, columns, 2, 4, mask.data());
  return mask;
}

TEST(SoftThreshold, keeps_at_most_two_of_four_and_shrinks_them) {
  for (const size_t count : {4u, 12u, 8192u, 70004u}) {
    const auto w = normal_floats(count, static_cast<uint32_t>(count));
    std::vector<float> out(count);
    std::vector<uint8_t> mask((count + 7) / 8);
    const auto sums =
        soft_threshold24(w.data(), static_cast<int64_t>(count), 1.0f, out.data(), mask.data());
    EXPECT_EQ(sums.zeros, std::count(out.begin(), out.end(), 0.0f));
    EXPECT_EQ(sums.flips, static_cast<int64_t>(count / 2)) << "every kept entry is new";
    const auto expected = mask_of(w);
    for (size_t g = 0; g < count; g += 4) {
      EXPECT_GE(std::count(&out[g], &out[g] + 4, 0.0f), 2);
      for (size_t i = g; i < g + 4; ++i) {
        EXPECT_EQ(mask[i / 8] >> (7 - i % 8) & 1, expected[i]);
        EXPECT_LE(std::fabs(out[i]), std::fabs(w[i]));
        EXPECT_TRUE(out[i] == 0.0f || std::signbit(out[i]) == std::signbit(w[i]));
      }
    }
    const auto again =
        soft_threshold24(w.data(), static_cast<int64_t>(count), 1.0f, out.data(), mask.data());
    EXPECT_EQ(again.flips, 0);
  }
}

TEST(SoftThreshold, is_continuous) {
  // A mask would jump where two magnitudes pass each other; S does not.
  for (float step = -1e-3f; step <= 1e-3f; step += 1e-4f) {
    const float w[4] = {1.0f, 0.5f + step, 0.5f, 0.1f};
    const float t = threshold24(w[0], w[1], w[2], w[3]);
    for (int i = 1; i < 3; ++i) EXPECT_LE(shrink(w[i], t), 1.1e-3f);
  }
}

TEST(SoftThresholdScale, has_the_values_that_its_distributions_give) {
  // METHODS, section 3: 1.75 uniform, about 1.484 Gaussian, 1.293 Laplace.
  constexpr size_t kCount = 4000000;
  auto flat = uniform_floats(kCount, 3);
  EXPECT_NEAR(soft_threshold_scale(flat.data(), kCount), 1.75, 4e-3);
  auto normal = normal_floats(kCount, 4);
  const double gaussian = soft_threshold_scale(normal.data(), kCount);
  EXPECT_NEAR(gaussian, 1.484, 3e-3);
  for (float& value : normal) value *= 0.25f;
  EXPECT_DOUBLE_EQ(soft_threshold_scale(normal.data(), kCount), gaussian) << "β(cW) = β(W)";
  for (float& value : flat) value = -std::log(std::max(value, 1e-30f));
  EXPECT_NEAR(soft_threshold_scale(flat.data(), kCount), 1.293, 3e-3);
  const float zeros[8] = {};
  EXPECT_EQ(soft_threshold_scale(zeros, 8), 1.0);
}

TEST(SoftThreshold, equals_the_golden_values) {
  SKIP_WITHOUT_SHARED();
  const auto golden =
      testing::read_golden(testing::shared_folder() / "golden/s_ste_linear.safetensors");
  const auto weight = golden.at("weight").floats();
  const auto count = static_cast<int64_t>(weight.size());
  const double beta = soft_threshold_scale(weight.data(), count);
  EXPECT_NEAR(beta, golden.at("beta").values[0], 1e-5);
  std::vector<float> soft(weight.size()), sparse(weight.size());
  std::vector<uint8_t> mask(weight.size() / 8);
  soft_threshold24(weight.data(), count, 1.0f, soft.data(), mask.data());
  soft_threshold24(weight.data(), count, static_cast<float>(beta), sparse.data(), mask.data());
  for (size_t i = 0; i < weight.size(); ++i) {
    EXPECT_NEAR(soft[i], golden.at("soft").values[i], 1e-5);
    EXPECT_NEAR(sparse[i], golden.at("weight_sparse").values[i], 1e-5);
  }
}

template <class T>
class SoftThresholdTo : public ::testing::Test {};
using Types = ::testing::Types<float, bfloat16, float16>;
TYPED_TEST_SUITE(SoftThresholdTo, Types);

TYPED_TEST(SoftThresholdTo, is_the_definition_for_every_instruction_set_and_thread_count) {
  for (const size_t count : {4u, 8u, 60u, 64u, 68u, 128u, 1000u, 70004u}) {
    // Hostile values bring ties, a part of normal ones alone none.
    auto w = hostile_values<float>(count + 1, static_cast<uint32_t>(count));
    if (count > 1000) std::ranges::copy(normal_floats(count / 2, 33), w.begin());
    const auto kept = mask_of({w.begin() + 1, w.end()});
    for (const float scale : {1.0f, -1.75f}) {
      std::vector<uint8_t> before((count + 7) / 8, 0xa5);
      if (count % 8 != 0) before.back() = 0xa0;
      std::vector<TypeParam> expected(count), out(count);
      WeightCounts sums;
      for (size_t i = 0; i < count; ++i) {
        const float* group = &w[1 + i / 4 * 4];
        const float value =
            scale * shrink(w[1 + i], threshold24(group[0], group[1], group[2], group[3]));
        store(value, expected[i]);
        sums.zeros += to_float(expected[i]) == 0.0f;
        sums.flips += (before[i / 8] >> (7 - i % 8) & 1) != kept[i];
      }
      for_each_instruction_set_and_thread_count([&](const char* name) {
        auto mask = before;
        const auto found = soft_threshold24(w.data() + 1, static_cast<int64_t>(count), scale,
                                            out.data(), mask.data());
        ASSERT_EQ(bits_of_all(out), bits_of_all(expected)) << name << " " << count;
        ASSERT_EQ(found.zeros, sums.zeros) << name << " " << count;
        ASSERT_EQ(found.flips, sums.flips) << name << " " << count;
        for (size_t i = 0; i < count; ++i) ASSERT_EQ(mask[i / 8] >> (7 - i % 8) & 1, kept[i]);
      });
    }
  }
}

TEST(SoftThresholdScale, has_the_same_bits_for_every_instruction_set_and_thread_count) {
  for (const size_t count : {4u, 12u, 16u, 20u, 1000u, 70004u}) {
    const auto w = normal_floats(count + 1, 34);
    double reference = 0.0;
    for_each_instruction_set_and_thread_count([&](const char* name) {
      const double scale = soft_threshold_scale(w.data() + 1, static_cast<int64_t>(count));
      if (reference == 0.0) reference = scale;
      ASSERT_EQ(scale, reference) << name << " " << count;
    });
  }
}

TEST(SoftThreshold, refuses_a_count_that_is_no_multiple_of_4) {
  float w[6] = {}, out[6];
  uint8_t mask[1] = {};
  EXPECT_THAT_ERROR(soft_threshold24(w, 6, 1.0f, out, mask), "6 weights");
  EXPECT_THAT_ERROR(soft_threshold_scale(w, 6), "6 weights");
}

}  // namespace
}  // namespace twofour::kernels
