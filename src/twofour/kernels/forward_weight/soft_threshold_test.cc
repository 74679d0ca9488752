#include "twofour/kernels/forward_weight/soft_threshold.h"

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

std::vector<uint8_t> mask_of(const std::vector<float>& weight) {
  std::vector<uint8_t> mask(weight.size());
  const auto columns = static_cast<int64_t>(weight.size());
  magnitude_mask(weight.data(), 1, columns, columns, 2, 4, mask.data());
  return mask;
}

// A single row of all entries.
template <class T>
WeightCounts flat24(const float* w, int64_t count, float scale, T* out, uint8_t* mask) {
  return soft_threshold24(w, 1, count, count, scale, out, mask);
}

double flat_scale(const float* w, size_t count) {
  const auto columns = static_cast<int64_t>(count);
  return soft_threshold_scale(w, 1, columns, columns);
}

TEST(SoftThreshold, keeps_at_most_two_of_four_and_shrinks_them) {
  for (const size_t count : {4u, 12u, 8192u, 70004u}) {
    const auto w = normal_floats(count, static_cast<uint32_t>(count));
    std::vector<float> out(count);
    std::vector<uint8_t> mask((count + 7) / 8);
    const auto sums = flat24(w.data(), static_cast<int64_t>(count), 1.0f, out.data(), mask.data());
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
    const auto again = flat24(w.data(), static_cast<int64_t>(count), 1.0f, out.data(), mask.data());
    EXPECT_EQ(again.flips, 0);
  }
}

TEST(SoftThreshold, is_continuous) {
  // A mask would jump where the order of two magnitudes changes; S does not.
  for (float step = -1e-3f; step <= 1e-3f; step += 1e-4f) {
    const float w[4] = {1.0f, 0.5f + step, 0.5f, 0.1f};
    const float t = threshold24(w[0], w[1], w[2], w[3]);
    for (int i = 1; i < 3; ++i) EXPECT_LE(shrink(w[i], t, true), 1.1e-3f);
  }
}

TEST(SoftThresholdScale, has_the_values_that_its_distributions_give) {
  // METHODS, section 3: 1.75 uniform, about 1.484 Gaussian, 1.293 Laplace.
  constexpr size_t kCount = 4000000;
  auto flat = uniform_floats(kCount, 3);
  EXPECT_NEAR(flat_scale(flat.data(), kCount), 1.75, 4e-3);
  auto normal = normal_floats(kCount, 4);
  const double gaussian = flat_scale(normal.data(), kCount);
  EXPECT_NEAR(gaussian, 1.484, 3e-3);
  for (float& value : normal) value *= 0.25f;
  EXPECT_DOUBLE_EQ(flat_scale(normal.data(), kCount), gaussian) << "β(cW) = β(W)";
  for (float& value : flat) value = -std::log(std::max(value, 1e-30f));
  EXPECT_NEAR(flat_scale(flat.data(), kCount), 1.293, 3e-3);
  const float zeros[8] = {};
  EXPECT_EQ(flat_scale(zeros, 8), 1.0);
}

TEST(SoftThreshold, equals_the_golden_values) {
  const auto golden = testing::golden("s_ste_linear");
  const auto weight = golden.at("weight").floats();
  const auto count = static_cast<int64_t>(weight.size());
  const double beta = flat_scale(weight.data(), count);
  EXPECT_NEAR(beta, golden.at("beta").values[0], 1e-5);
  std::vector<float> soft(weight.size()), sparse(weight.size());
  std::vector<uint8_t> mask(weight.size() / 8);
  flat24(weight.data(), count, 1.0f, soft.data(), mask.data());
  flat24(weight.data(), count, static_cast<float>(beta), sparse.data(), mask.data());
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
    // Only the hostile values contain ties.
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
            scale * shrink(w[1 + i], threshold24(group[0], group[1], group[2], group[3]), kept[i]);
        store(value, expected[i]);
        sums.zeros += to_float(expected[i]) == 0.0f;
        sums.flips += (before[i / 8] >> (7 - i % 8) & 1) != kept[i];
      }
      for_each_instruction_set_and_thread_count([&](const char* name) {
        auto mask = before;
        const auto found =
            flat24(w.data() + 1, static_cast<int64_t>(count), scale, out.data(), mask.data());
        ASSERT_EQ(bits_of_all(out), bits_of_all(expected)) << name << " " << count;
        ASSERT_EQ(found.zeros, sums.zeros) << name << " " << count;
        ASSERT_EQ(found.flips, sums.flips) << name << " " << count;
        for (size_t i = 0; i < count; ++i) ASSERT_EQ(mask[i / 8] >> (7 - i % 8) & 1, kept[i]);
      });
    }
  }
}

// A diverged weight must not appear finite and must stay 2:4.
TYPED_TEST(SoftThresholdTo, keeps_nan_and_at_most_two_of_four_for_every_set_and_thread_count) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(),
                  kInfinity = std::numeric_limits<float>::infinity();
  for (const int bad : {1, 2, 3, 4}) {
    for (const float value : {kNan, -kInfinity}) {
      for (const size_t count : {8u, 1000u, 70004u}) {
        auto w = normal_floats(count, static_cast<uint32_t>(count));
        const size_t group = count / 8 * 4;
        std::fill_n(w.begin() + static_cast<int64_t>(group), bad, value);
        std::vector<TypeParam> out(count);
        std::vector<uint8_t> mask((count + 7) / 8);
        for_each_instruction_set_and_thread_count([&](const char* name) {
          SCOPED_TRACE(fmt::format("{}: {} of {} in {}", name, bad, value, count));
          flat24(w.data(), static_cast<int64_t>(count), 1.5f, out.data(), mask.data());
          int nonfinite = 0, nonzero = 0;
          for (size_t i = group; i < group + 4; ++i) {
            nonfinite += !std::isfinite(to_float(out[i]));
            nonzero += to_float(out[i]) != 0.0f;
          }
          EXPECT_EQ(nonfinite, std::min(bad, 2));
          EXPECT_EQ(nonzero, 2);
          EXPECT_FALSE(std::isfinite(flat_scale(w.data(), count)));
        });
      }
    }
  }
}

TEST(SoftThresholdScale, has_the_same_bits_for_every_instruction_set_and_thread_count) {
  for (const size_t count : {4u, 12u, 16u, 20u, 1000u, 70004u}) {
    const auto w = normal_floats(count + 1, 34);
    double reference = 0.0;
    for_each_instruction_set_and_thread_count([&](const char* name) {
      const double scale = flat_scale(w.data() + 1, static_cast<int64_t>(count));
      if (reference == 0.0) reference = scale;
      ASSERT_EQ(scale, reference) << name << " " << count;
    });
  }
}

// Rows end inside bytes of the mask and inside blocks; some are longer than a block.
TYPED_TEST(SoftThresholdTo, of_a_view_is_that_of_its_copy_for_every_set_and_thread_count) {
  struct View {
    int64_t rows, columns, stride;
  };
  for (const View& v : {View{1, 12, 3},
                        {3, 4, 5},
                        {7, 12, 12},
                        {5, 20, 33},
                        {40, 1028, 1031},
                        {3, 20000, 20480},
                        {9, 4, 4000}}) {
    const auto count = static_cast<size_t>(v.rows * v.columns);
    const auto w =
        hostile_values<float>(static_cast<size_t>(v.rows * v.stride + v.columns + 1), 35);
    std::vector<float> copy;
    for (int64_t r = 0; r < v.rows; ++r) {
      const auto row = w.begin() + 1 + r * v.stride;
      copy.insert(copy.end(), row, row + v.columns);
    }
    std::vector<TypeParam> expected(count), out(count);
    const std::vector<uint8_t> before((count + 7) / 8, 0xa5);
    auto expected_mask = before;
    const WeightCounts counts = flat24(copy.data(), static_cast<int64_t>(count), 1.5f,
                                       expected.data(), expected_mask.data());
    for_each_instruction_set_and_thread_count([&](const char* name) {
      SCOPED_TRACE(fmt::format("{} {} x {}, {} apart", name, v.rows, v.columns, v.stride));
      auto mask = before;
      const WeightCounts found = soft_threshold24(w.data() + 1, v.rows, v.columns, v.stride, 1.5f,
                                                  out.data(), mask.data());
      ASSERT_EQ(bits_of_all(out), bits_of_all(expected));
      ASSERT_EQ(mask, expected_mask);
      ASSERT_EQ(found.zeros, counts.zeros);
      ASSERT_EQ(found.flips, counts.flips);
    });
  }
}

TEST(SoftThresholdScale, of_a_view_is_that_of_its_copy_for_every_set_and_thread_count) {
  const int64_t rows = 40, columns = 1028, stride = 1031;
  const auto w = normal_floats(static_cast<size_t>(rows * stride), 36);
  std::vector<float> copy;
  for (int64_t r = 0; r < rows; ++r) {
    copy.insert(copy.end(), w.begin() + r * stride, w.begin() + r * stride + columns);
  }
  const double expected = flat_scale(copy.data(), copy.size());
  for_each_instruction_set_and_thread_count([&](const char* name) {
    ASSERT_EQ(soft_threshold_scale(w.data(), rows, columns, stride), expected) << name;
  });
}

TEST(SoftThreshold, refuses_columns_that_are_no_multiple_of_4) {
  float w[12] = {}, out[12];
  uint8_t mask[2] = {};
  EXPECT_THAT_ERROR(soft_threshold24(w, 2, 6, 6, 1.0f, out, mask), "6 columns");
  EXPECT_THAT_ERROR(soft_threshold_scale(w, 2, 6, 6), "6 columns");
}

}  // namespace
}  // namespace twofour::kernels
