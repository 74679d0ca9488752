#include "twofour/kernels/group.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>

#include <gtest/gtest.h>

#include "testing.h"

namespace twofour::kernels {
namespace {

TEST(Mvue24Probabilities, equal_the_published_example) {
  // arXiv 2203.10991, section 4: the group [4, 2, 1, 0.5].
  const double x[4] = {4, 2, 1, 0.5};
  double p[4];
  mvue24_probabilities(x, p);
  const double expected[4] = {.8474, .6315, .3437, .1774};
  for (int i = 0; i < 4; ++i) EXPECT_NEAR(p[i], expected[i], 5e-5);
  EXPECT_NEAR(mvue24_variance(x, p), 8.284, 5e-4);
  mvue24_exact_probabilities(x, p);
  EXPECT_NEAR(mvue24_variance(x, p), 7.0, 1e-12);
}

TEST(Mvue24Probabilities, equal_the_golden_values_degenerate_groups_included) {
  SKIP_WITHOUT_SHARED();
  const auto golden = testing::read_golden(testing::shared_folder() / "golden/mvue.safetensors");
  const auto& groups = golden.at("x").values;
  const auto value = [&](const char* name, size_t i) { return golden.at(name).values.at(i); };
  for (size_t g = 0; g < groups.size() / 4; ++g) {
    double x[4], p[4], exact[4];
    std::copy(&groups[4 * g], &groups[4 * g] + 4, x);
    mvue24_probabilities(x, p);
    mvue24_exact_probabilities(x, exact);
    for (size_t i = 0; i < 4; ++i) {
      EXPECT_NEAR(p[i], value("p_approximate", 4 * g + i), 1e-9) << "group " << g;
      EXPECT_NEAR(exact[i], value("p_exact", 4 * g + i), 1e-9) << "group " << g;
    }
    // x² (1 / p - 1) amplifies the last bit of p by x².
    const double largest = *std::max_element(x, x + 4);
    const double tolerance = 1e-9 + 4 * std::numeric_limits<double>::epsilon() * largest * largest;
    EXPECT_NEAR(mvue24_variance(x, p), value("variance_approximate", g), tolerance) << g;
    EXPECT_NEAR(mvue24_variance(x, exact), value("variance_exact", g), tolerance) << g;
  }
}

// The group that a pair of uniform numbers draws, over a fine grid of them, must average to x.
TEST(Mvue24Group, is_unbiased) {
  constexpr int kGrid = 1000;
  for (const auto& x : {std::array<float, 4>{4, 2, 1, 0.5},
                        {1, -1, 1, -1},
                        {-3, 0, 0, 2},
                        {2, 0, 0, 0},
                        {1e-3f, 1, 1, 1e-3f},
                        {0, 0, 0, 0}}) {
    const float group[4] = {x[0], x[1], x[2], x[3]};
    double mean[4] = {};
    for (int i = 0; i < kGrid; ++i) {
      for (int j = 0; j < kGrid; ++j) {
        float out[4];
        mvue24_group(group, (i + 0.5f) / kGrid, (j + 0.5f) / kGrid, out);
        int kept = 0;
        for (int k = 0; k < 4; ++k) {
          mean[k] += out[k] / (double{kGrid} * kGrid);
          kept += out[k] != 0.0f;
        }
        ASSERT_LE(kept, 2);
      }
    }
    // The grid resolves a probability to about 1 / kGrid.
    for (int k = 0; k < 4; ++k) EXPECT_NEAR(mean[k], x[k], 2e-3 * 4);
  }
}

TEST(Mvue24Group, never_makes_a_nan_of_finite_numbers) {
  std::mt19937 random(20240901);
  const float hostile[] = {0.0f,    -0.0f,  1.0f,  -2.0f,   1e-45f,
                           -1e-40f, 1e-38f, 1e30f, 3.4e38f, -3.4e38f};
  for (int trial = 0; trial < 200000; ++trial) {
    float x[4], out[4];
    for (float& value : x) value = hostile[random() % std::size(hostile)];
    mvue24_group(x, uniform_from_bits(static_cast<uint32_t>(random())),
                 uniform_from_bits(static_cast<uint32_t>(random())), out);
    int kept = 0;
    for (int i = 0; i < 4; ++i) {
      ASSERT_FALSE(std::isnan(out[i]));
      ASSERT_TRUE(out[i] == 0.0f || std::signbit(out[i]) == std::signbit(x[i]));
      kept += out[i] != 0.0f;
    }
    ASSERT_LE(kept, 2);
  }
}

TEST(Mvue24Group, lets_an_infinity_or_nan_be_seen) {
  const float infinity = std::numeric_limits<float>::infinity();
  const float x[4] = {1.0f, infinity, 2.0f, -infinity};
  float out[4];
  mvue24_group(x, 0.3f, 0.7f, out);
  EXPECT_EQ(out[1], infinity);
  EXPECT_EQ(out[3], -infinity);
  EXPECT_EQ(out[0], 0.0f);
}

TEST(IsKept, keeps_exactly_n_also_with_ties_zeros_and_nan) {
  std::mt19937 random(7);
  const float values[] = {0.0f, -0.0f, 1.0f, -1.0f, 2.0f, std::nanf(""), 1e-45f};
  for (int trial = 0; trial < 20000; ++trial) {
    const int size = 1 + static_cast<int>(random() % 8),
              kept = static_cast<int>(random()) % (size + 1);
    const int wanted = kept < 0 ? 0 : kept;
    float group[8];
    for (float& value : group) value = values[random() % std::size(values)];
    int count = 0;
    for (int i = 0; i < size; ++i) count += is_kept(group, size, wanted, i);
    ASSERT_EQ(count, wanted);
  }
}

TEST(Bfloat16, rounds_to_nearest_even_and_keeps_nan) {
  const auto round_trip = [](float value) {
    bfloat16 stored;
    store(value, stored);
    return to_float(stored);
  };
  EXPECT_EQ(round_trip(1.0f), 1.0f);
  EXPECT_EQ(round_trip(1.0f + 0x1p-8f), 1.0f);  // a tie goes to the even neighbour
  EXPECT_EQ(round_trip(1.0f + 3 * 0x1p-8f), 1.0f + 0x1p-6f);
  EXPECT_EQ(round_trip(3.4e38f), std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(round_trip(float_from_bits(0x7f800001u))));
}

}  // namespace
}  // namespace twofour::kernels
