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
  const auto golden = testing::golden("mvue");
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

using Group = std::array<float, 4>;

Group drawn(const Group& x, float u, Mvue kind) {
  const float group[4] = {x[0], x[1], x[2], x[3]};
  float out[4];
  if (kind == Mvue::kExact) {
    mvue24_group<Mvue::kExact>(group, u, out);
  } else {
    mvue24_group(group, u, out);
  }
  return {out[0], out[1], out[2], out[3]};
}

std::array<double, 4> probabilities(const Group& x, Mvue kind) {
  const double group[4] = {x[0], x[1], x[2], x[3]};
  double p[4];
  kind == Mvue::kExact ? mvue24_exact_probabilities(group, p) : mvue24_probabilities(group, p);
  return {p[0], p[1], p[2], p[3]};
}

constexpr Mvue kKinds[] = {Mvue::kApproximate, Mvue::kExact};

// The average of the draws over a grid of uniform numbers must be x.
TEST(Mvue24Group, is_unbiased) {
  constexpr int kGrid = 1 << 18;
  for (const Mvue kind : kKinds) {
    for (const Group& x : {Group{4, 2, 1, 0.5},
                           {1, -1, 1, -1},
                           {-3, 0, 0, 2},
                           {2, 0, 0, 0},
                           {0, 0, 0, -2},
                           {1, 1, 0, 0},
                           {0, 3, 1, 2},
                           {1e-3f, 1, 1, 1e-3f},
                           {0, 0, 0, 0}}) {
      double mean[4] = {};
      for (int i = 0; i < kGrid; ++i) {
        const Group out = drawn(x, (i + 0.5f) / kGrid, kind);
        for (size_t k = 0; k < 4; ++k) mean[k] += out[k] / double{kGrid};
        ASSERT_LE(std::count_if(out.begin(), out.end(), [](float v) { return v != 0.0f; }), 2);
      }
      // The grid resolves the probability of each of twelve ordered pairs to 1 / kGrid.
      for (size_t k = 0; k < 4; ++k) EXPECT_NEAR(mean[k], x[k], 12.0 * 8.0 / kGrid) << x[0];
    }
  }
}

TEST(Mvue24Group, divides_by_the_probability_to_five_digits) {
  std::mt19937 random(5);
  std::uniform_real_distribution<float> exponent(-30.0f, 30.0f), near(-3.0f, 0.0f), flat;
  for (const Mvue kind : kKinds) {
    for (int trial = 0; trial < 300000; ++trial) {
      Group x;
      const float scale = std::exp2(2.0f * exponent(random));
      for (float& value : x) {
        value = scale * std::exp2(trial % 2 ? exponent(random) : near(random)) *
                (random() % 2 ? -1.0f : 1.0f) * static_cast<float>(random() % 8 != 0);
      }
      const Group out = drawn(x, flat(random), kind);
      const auto p = probabilities(x, kind);
      float largest = 0.0f;
      for (const float value : x) largest = std::max(largest, std::fabs(value));
      for (size_t i = 0; i < 4; ++i) {
        if (std::fabs(out[i]) <= 1e-30f * largest) continue;
        ASSERT_NEAR(out[i] * p[i] / x[i], 1.0, 1e-5)
            << x[0] << " " << x[1] << " " << x[2] << " " << x[3] << ", entry " << i;
      }
    }
  }
}

// Two nonzero entries are always drawn if the group has two.
TEST(Mvue24Group, keeps_two_entries_of_a_group_without_zeros) {
  std::mt19937 random(6);
  std::normal_distribution<float> normal;
  for (const Mvue kind : kKinds) {
    for (int trial = 0; trial < 100000; ++trial) {
      const Group x = {normal(random), normal(random), normal(random), normal(random)};
      const float u = uniform_from_bits(static_cast<uint32_t>(random()));
      const Group out = drawn(x, u, kind);
      ASSERT_EQ(std::count(out.begin(), out.end(), 0.0f), 2);
    }
  }
}

TEST(Mvue24Group, never_makes_a_nan_of_finite_numbers) {
  std::mt19937 random(20240901);
  const float hostile[] = {0.0f,    -0.0f,  1.0f,  -2.0f,   1e-45f,
                           -1e-40f, 1e-38f, 1e30f, 3.4e38f, -3.4e38f};
  for (const Mvue kind : kKinds) {
    for (int trial = 0; trial < 200000; ++trial) {
      Group x;
      for (float& value : x) value = hostile[random() % std::size(hostile)];
      const Group out = drawn(x, uniform_from_bits(static_cast<uint32_t>(random())), kind);
      int kept = 0;
      for (size_t i = 0; i < 4; ++i) {
        ASSERT_FALSE(std::isnan(out[i]));
        ASSERT_TRUE(bits_of(out[i]) == 0 || std::signbit(out[i]) == std::signbit(x[i]));
        ASSERT_TRUE(out[i] == 0.0f || x[i] != 0.0f);
        kept += out[i] != 0.0f;
      }
      ASSERT_LE(kept, 2);
    }
  }
}

TEST(Mvue24Group, gives_an_entry_that_is_alone_back) {
  for (const Mvue kind : kKinds) {
    for (const float value : {2.0f, -1e-45f, 1e-38f, -3e38f}) {
      for (size_t at = 0; at < 4; ++at) {
        Group x = {};
        x[at] = value;
        for (const float u : {0.0f, 0.25f, 0.5f, 1.0f - 0x1p-24f}) EXPECT_EQ(drawn(x, u, kind), x);
      }
    }
  }
}

TEST(Mvue24Group, lets_the_first_two_infinities_or_nans_be_seen) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const Mvue kind : kKinds) {
    EXPECT_EQ(drawn({1.0f, infinity, 2.0f, -infinity}, 0.3f, kind),
              (Group{0.0f, infinity, 0.0f, -infinity}));
    const Group out = drawn({std::nanf(""), -infinity, infinity, 3e38f}, 0.9f, kind);
    EXPECT_TRUE(std::isnan(out[0]));
    EXPECT_EQ(out[1], -infinity);
    EXPECT_EQ(out[2], 0.0f);
    EXPECT_EQ(out[3], 0.0f);
  }
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
