#include "twofour/kernels/mvue/mvue.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "twofour/base/parallel.h"
#include "twofour/kernels/dispatch.h"
#include "twofour/kernels/group.h"
#include "twofour/kernels/kernels_testing.h"

#include "testing.h"

namespace twofour::kernels {
namespace {

constexpr Mvue kKinds[] = {Mvue::kApproximate, Mvue::kExact};

template <class T>
class Mvue24 : public ::testing::Test {};
using Types = ::testing::Types<float, bfloat16, float16>;
TYPED_TEST_SUITE(Mvue24, Types);

TYPED_TEST(Mvue24, has_the_same_bits_for_every_instruction_set_and_thread_count) {
  using T = TypeParam;
  const RandomStream stream{0x123456789abcdefu, 3, 1, 4};
  for (const Mvue kind : kKinds) {
    for (const int64_t tokens : {1, 2, 3, 4, 5, 8, 37}) {
      for (const int64_t features : {1, 3, 15, 16, 31, 32, 33, 64, 65, 333}) {
        const int64_t stride = features + tokens % 3;
        const auto dz = hostile_values<T>(static_cast<size_t>(tokens * stride + 1), 7);
        const auto estimate = [&] {
          std::vector<T> out(static_cast<size_t>(tokens * features));
          mvue24(dz.data() + 1, tokens, features, stride, stream, out.data(), kind);
          return bits_of_all(out);
        };
        std::vector<uint32_t> reference;
        for_each_instruction_set_and_thread_count([&](const char* name) {
          if (reference.empty()) reference = estimate();
          ASSERT_EQ(estimate(), reference) << name << " " << tokens << "x" << features;
        });
      }
    }
  }
}

TYPED_TEST(Mvue24, is_the_group_along_tokens_with_the_number_of_its_group) {
  using T = TypeParam;
  constexpr int64_t kTokens = 11, kFeatures = 70, kStride = 75;
  const RandomStream stream{5, 6, 7, 8};
  const auto dz = hostile_values<T>(kTokens * kStride, 9);
  std::vector<T> out(kTokens * kFeatures);
  mvue24(dz.data(), kTokens, kFeatures, kStride, stream, out.data(), Mvue::kExact);
  for (int64_t f = 0; f < kFeatures; ++f) {
    for (int64_t g = 0; 4 * g < kTokens; ++g) {
      float x[4] = {}, expected[4];
      for (int64_t r = 0; r < 4 && 4 * g + r < kTokens; ++r) {
        x[r] = to_float(dz[static_cast<size_t>((4 * g + r) * kStride + f)]);
      }
      const auto number = static_cast<uint32_t>(g * mvue24_group_stride(kFeatures) + f);
      mvue24_group<Mvue::kExact>(x, mvue24_uniform(stream, number), expected);
      for (int64_t r = 0; r < 4 && 4 * g + r < kTokens; ++r) {
        T rounded;
        store(expected[r], rounded);
        const T& got = out[static_cast<size_t>((4 * g + r) * kFeatures + f)];
        ASSERT_EQ(bits_of_one(got), bits_of_one(rounded)) << g << " " << f;
      }
    }
  }
}

TYPED_TEST(Mvue24, keeps_a_single_token_as_it_is) {
  using T = TypeParam;
  std::vector<T> dz(70), out(70);
  const auto values = normal_floats(70, 10);
  for (size_t i = 0; i < 70; ++i) store(values[i], dz[i]);
  for (const Mvue kind : kKinds) {
    mvue24(dz.data(), 1, 70, 70, RandomStream{1, 1, 1, 1}, out.data(), kind);
    EXPECT_EQ(bits_of_all(out), bits_of_all(dz));
  }
}

// Statistics of `draws` draws of each group of `x`, in float32.
struct Moments {
  std::vector<double> mean, square_error;  // per entry; per group
};

Moments moments(const std::vector<float>& x, int64_t draws, Mvue kind) {
  const auto features = static_cast<int64_t>(x.size() / 4);
  std::vector<float> dz(x.size()), out(x.size());
  for (int64_t f = 0; f < features; ++f) {
    for (int64_t r = 0; r < 4; ++r) {
      dz[static_cast<size_t>(r * features + f)] = x[static_cast<size_t>(4 * f + r)];
    }
  }
  Moments result{std::vector<double>(x.size()), std::vector<double>(x.size() / 4)};
  for (uint32_t step = 0; step < draws; ++step) {
    mvue24(dz.data(), 4, features, features, RandomStream{11, step, 0, 0}, out.data(), kind);
    for (size_t i = 0; i < x.size(); ++i) {
      const float value = out[i % 4 * static_cast<size_t>(features) + i / 4];
      result.mean[i] += value / static_cast<double>(draws);
      result.square_error[i / 4] += std::pow(double{value} - x[i], 2) / static_cast<double>(draws);
    }
  }
  return result;
}

// Groups of similar sizes, some with zeros. No value is drawn so rarely that the mean of `draws` is
// far from normal.
std::vector<float> plain_groups(size_t groups) {
  std::mt19937 random(12);
  std::uniform_real_distribution<float> flat(0.25f, 1.0f);
  std::vector<float> x(4 * groups);
  for (float& value : x) value = flat(random) * (random() % 2 ? 1.0f : -1.0f);
  for (size_t i = 0; i < x.size(); i += 12) x[i] = 0.0f;
  for (size_t i = 0; i < x.size(); i += 20) x[i + 1] *= 8.0f;
  return x;
}

TEST(Mvue24Statistics, the_mean_is_x) {
  // A z-test for each of 4000 entries over 20000 draws. The total probability of failure is 1e-6,
  // or 2.5e-10 each: |z| > 6.33.
  constexpr int64_t kDraws = 20000;
  const auto x = plain_groups(1000);
  for (const Mvue kind : kKinds) {
    const Moments drawn = moments(x, kDraws, kind);
    for (size_t i = 0; i < x.size(); ++i) {
      const size_t g = i / 4 * 4;
      const double group[4] = {x[g], x[g + 1], x[g + 2], x[g + 3]};
      double p[4];
      kind == Mvue::kExact ? mvue24_exact_probabilities(group, p) : mvue24_probabilities(group, p);
      const double variance = x[i] == 0.0f ? 0.0 : double{x[i]} * x[i] * (1.0 / p[i % 4] - 1.0);
      const double error = std::sqrt(std::max(variance, 0.0) / kDraws) + 1e-6 * std::fabs(x[i]);
      EXPECT_LE(std::fabs(drawn.mean[i] - x[i]), 6.33 * error) << "entry " << i;
    }
  }
}

TEST(Mvue24Statistics, the_variance_is_that_of_the_probabilities) {
  // The mean square error of 1000 groups over 20000 draws has a relative standard error under 1e-3,
  // so 5e-3 exceeds five of them (probability under 1e-6).
  const auto x = plain_groups(1000);
  for (const Mvue kind : kKinds) {
    const Moments drawn = moments(x, 20000, kind);
    double measured = 0.0, expected = 0.0;
    for (size_t g = 0; g < x.size() / 4; ++g) {
      const double group[4] = {x[4 * g], x[4 * g + 1], x[4 * g + 2], x[4 * g + 3]};
      double p[4];
      kind == Mvue::kExact ? mvue24_exact_probabilities(group, p) : mvue24_probabilities(group, p);
      measured += drawn.square_error[g];
      expected += mvue24_variance(group, p);
    }
    EXPECT_NEAR(measured / expected, 1.0, 5e-3);
  }
}

TEST(Mvue24Statistics, the_pairs_are_drawn_with_their_probabilities) {
  // [4, 2, 1, 0.5] drawn 2^20 times: pair (i, j) has probability t_i t_j (1/(1-t_i) + 1/(1-t_j)).
  // Six standard errors: each of the six fails with probability 2e-9.
  constexpr int64_t kFeatures = 1 << 20;
  const float x[4] = {4, 2, 1, 0.5f};
  std::vector<float> dz(4 * kFeatures), out(dz.size());
  for (size_t i = 0; i < dz.size(); ++i) dz[i] = x[i / kFeatures];
  mvue24(dz.data(), 4, kFeatures, kFeatures, RandomStream{13, 0, 0, 0}, out.data());
  for (size_t i = 0; i < 4; ++i) {
    for (size_t j = i + 1; j < 4; ++j) {
      int64_t count = 0;
      for (size_t f = 0; f < kFeatures; ++f) {
        count += out[i * kFeatures + f] != 0.0f && out[j * kFeatures + f] != 0.0f;
      }
      const double ti = x[i] / 7.5, tj = x[j] / 7.5;
      const double p = ti * tj * (1.0 / (1.0 - ti) + 1.0 / (1.0 - tj));
      EXPECT_NEAR(static_cast<double>(count), p * kFeatures,
                  6.0 * std::sqrt(p * (1.0 - p) * kFeatures))
          << i << j;
    }
  }
}

TEST(Mvue24Statistics, golden_groups_have_the_golden_variance) {
  const auto golden = testing::golden("mvue");
  const auto x = golden.at("x").floats();
  for (const Mvue kind : kKinds) {
    const auto& expected =
        golden.at(kind == Mvue::kExact ? "variance_exact" : "variance_approximate").values;
    const Moments drawn = moments(x, 4000, kind);
    double measured_sum = 0.0, expected_sum = 0.0;
    for (size_t g = 10; g < x.size() / 4; ++g) {  // the first ten are degenerate
      const double energy = x[4 * g] * x[4 * g] + x[4 * g + 1] * x[4 * g + 1] +
                            x[4 * g + 2] * x[4 * g + 2] + x[4 * g + 3] * x[4 * g + 3];
      measured_sum += drawn.square_error[g] / energy;
      expected_sum += expected[g] / energy;
    }
    EXPECT_NEAR(measured_sum / expected_sum, 1.0, 0.02);
    for (size_t i = 0; i < 40; ++i) {
      EXPECT_FALSE(std::isnan(drawn.mean[i])) << "entry " << i;
      EXPECT_TRUE(x[i] != 0.0f || drawn.mean[i] == 0.0) << "entry " << i;
    }
  }
}

}  // namespace
}  // namespace twofour::kernels
