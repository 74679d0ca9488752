#include "twofour/kernels/matrix.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include <gtest/gtest.h>

#include "twofour/base/parallel.h"
#include "twofour/kernels/group.h"
#include "twofour/kernels/mask.h"

#include "testing.h"

namespace twofour::kernels {
namespace {

std::vector<float> random_floats(size_t count, uint32_t seed, bool uniform = false) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::uniform_real_distribution<float> flat;
  std::vector<float> values(count);
  for (float& value : values) value = uniform ? flat(random) : normal(random);
  return values;
}

std::vector<uint8_t> mask_of(const std::vector<float>& weight, int kept = 2, int group = 4) {
  std::vector<uint8_t> mask(weight.size());
  const auto columns = static_cast<int64_t>(weight.size());
  magnitude_mask(weight.data(), 1, columns, columns, kept, group, mask.data());
  return mask;
}

TEST(SoftThreshold, keeps_at_most_two_of_four_and_shrinks_them) {
  for (const size_t count : {4u, 12u, 8192u, 70004u}) {
    const auto w = random_floats(count, static_cast<uint32_t>(count));
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
  auto flat = random_floats(kCount, 3, true);
  EXPECT_NEAR(soft_threshold_scale(flat.data(), kCount), 1.75, 4e-3);
  auto normal = random_floats(kCount, 4);
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

TEST(EveryKernel, is_bit_identical_for_any_thread_count_and_instruction_set) {
  const int before = thread_count();
  const auto dz = random_floats(37 * 333, 6);
  set_thread_count(1);
  const double beta = soft_threshold_scale(dz.data(), 37 * 332);
  set_thread_count(4);
  EXPECT_EQ(soft_threshold_scale(dz.data(), 37 * 332), beta);
  set_thread_count(before);

  const auto& reference = reference_loops<float>();
  const auto& chosen = loops<float>();
  for (const int64_t columns : {1, 15, 16, 64, 65, 333}) {
    std::vector<float> a(dz.begin(), dz.begin() + columns), b = a, scratch(a.size());
    const float scale = 0.125f;
    EXPECT_EQ(reference.cross_entropy(a.data(), 0, columns, &scale, scratch.data()),
              chosen.cross_entropy(b.data(), 0, columns, &scale, scratch.data()));
    EXPECT_EQ(a, b);
  }
}

TEST(CrossEntropy, equals_the_definition_in_double) {
  for (const int64_t columns : {1, 2, 16, 17, 1000}) {
    constexpr int64_t kRows = 5;
    auto logits = random_floats(static_cast<size_t>(kRows * columns), 8);
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

}  // namespace
}  // namespace twofour::kernels
