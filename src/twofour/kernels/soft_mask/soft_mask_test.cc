#include "twofour/kernels/soft_mask/soft_mask.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include "twofour/kernels/soft_mask/soft_mask_testing.h"

#include "testing.h"

namespace twofour::kernels {
namespace {

TEST(SoftMask, is_the_definition_and_sums_to_the_kept_entries_for_all_patterns) {
  uint32_t seed = 100;
  for (const auto& [kept, group] : learnable_patterns()) {
    for (const float tau : {4.0f, 0.05f}) {
      const Candidates c(kept, group);
      const int64_t groups = 37;
      const auto logits = random_values<float>(groups * c.count(), ++seed, 0.01f);
      const auto gumbel = random_values<float>(groups * c.count(), ++seed);
      std::vector<float> soft(static_cast<size_t>(groups * group));
      soft_mask(logits.data(), groups, c,
                {.kappa = 300, .tau = tau, .noise = Noise::kGiven, .gumbel = gumbel.data()},
                soft.data());
      for (int64_t g = 0; g < groups; ++g) {
        const int64_t at = g * c.count();
        const GroupInDouble expected(&logits[at], &gumbel[at], c, 300, tau);
        double sum = 0;
        for (int64_t i = 0; i < group; ++i) {
          ASSERT_NEAR(soft[g * group + i], expected.soft[i], 1e-4)
              << kept << ":" << group << ", seed " << seed;
          sum += soft[g * group + i];
        }
        ASSERT_NEAR(sum, kept, 1e-5 * static_cast<double>(kept));
      }
    }
  }
}

TEST(SoftMask, without_noise_becomes_the_best_mask_when_tau_is_small) {
  for (const auto& [kept, group] : learnable_patterns()) {
    const Candidates c(kept, group);
    const int64_t groups = 50;
    const auto logits = random_values<float>(groups * c.count(), 7);
    std::vector<float> soft(static_cast<size_t>(groups * group)), hard(soft.size());
    std::vector<uint8_t> best(soft.size());
    soft_mask(logits.data(), groups, c, {.kappa = 500, .tau = 1e-6f}, soft.data());
    soft_mask(logits.data(), groups, c, {.kappa = 500, .tau = 4, .choice = Choice::kHard},
              hard.data());
    best_mask(logits.data(), groups, c, best.data());
    for (size_t i = 0; i < soft.size(); ++i) {
      ASSERT_EQ(soft[i], best[i]) << kept << ":" << group;
      ASSERT_EQ(hard[i], best[i]) << kept << ":" << group;
    }
  }
}

TEST(SoftMask, of_equal_logits_the_first_candidate_wins) {
  const Candidates c(2, 4);
  const float logits[12] = {1, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3};
  float soft[8];
  uint8_t best[8];
  soft_mask(logits, 2, c, {.choice = Choice::kHard}, soft);
  best_mask(logits, 2, c, best);
  const uint8_t expected[8] = {1, 0, 1, 0, 1, 1, 0, 0};
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(soft[i], expected[i]);
    EXPECT_EQ(best[i], expected[i]);
  }
}

TEST(SoftMask, gradients_are_the_definition_in_float64) {
  uint32_t seed = 300;
  for (const auto& [kept, group] : learnable_patterns()) {
    const Candidates c(kept, group);
    const int64_t rows = 3, columns = 5 * group, groups = rows * 5;
    const double kappa = 120, tau = 0.7, regularisation = 0.03;
    const auto logits = random_values<float>(groups * c.count(), ++seed, 0.01f);
    const auto gumbel = random_values<float>(groups * c.count(), ++seed);
    const auto w = random_values<float>(rows * columns, ++seed);
    const auto dmasked = random_values<float>(rows * columns, ++seed);
    std::vector<float> dlogits(logits.size(), 0.5f), dweight(w.size(), -0.25f), out(w.size());
    add_soft_mask_gradients(logits.data(), w.data(), dmasked.data(), rows, columns, c,
                            {.kappa = static_cast<float>(kappa),
                             .tau = static_cast<float>(tau),
                             .noise = Noise::kGiven,
                             .gumbel = gumbel.data()},
                            regularisation, dlogits.data(), dweight.data(), out.data());
    for (int64_t g = 0; g < groups; ++g) {
      const GroupInDouble expected(&logits[g * c.count()], &gumbel[g * c.count()], c, kappa, tau);
      std::vector<double> dsoft(static_cast<size_t>(group));
      for (int64_t i = 0; i < group; ++i) {
        const int64_t at = g * group + i;
        const double masked = w[at] * expected.soft[i];
        const double d = dmasked[at] - 2 * regularisation * masked;
        dsoft[i] = d * w[at];
        ASSERT_NEAR(out[at], masked, 2e-5);
        ASSERT_NEAR(dweight[at], d * expected.soft[i] - 0.25, 1e-4) << "seed " << seed;
      }
      const auto d = expected.gradient(dsoft, c, kappa, tau);
      for (int64_t k = 0; k < c.count(); ++k) {
        ASSERT_NEAR(dlogits[g * c.count() + k], d[k] + 0.5, 2e-4 * kappa / tau)
            << kept << ":" << group << ", seed " << seed;
      }
    }
  }
}

TEST(SoftMask, hard_choices_have_the_gradients_of_soft_ones) {
  const Candidates c(2, 4);
  const int64_t groups = 333;
  const auto logits = random_values<float>(groups * 6, 11, 0.01f);
  const auto dsoft = random_values<float>(groups * 4, 12);
  SoftMaskOptions options = {
      .kappa = 100, .tau = 1, .noise = Noise::kDrawn, .stream = {1, 2, 3, 4}};
  std::vector<float> soft(logits.size()), hard(logits.size());
  soft_mask_gradient(logits.data(), dsoft.data(), groups, c, options, soft.data());
  options.choice = Choice::kHard;
  soft_mask_gradient(logits.data(), dsoft.data(), groups, c, options, hard.data());
  EXPECT_EQ(bits_of_all(soft), bits_of_all(hard));
  EXPECT_GT(std::count_if(soft.begin(), soft.end(), [](float v) { return v != 0; }), groups * 5);
}

TEST(SoftMask, of_a_part_of_a_matrix_has_the_noise_of_its_place) {
  for (const auto& [kept, group] : {MaskPattern{2, 4}, {4, 8}, {1, 16}}) {
    const Candidates c(kept, group);
    const int64_t groups = 300, first = 77;
    const auto logits = random_values<float>(groups * c.count(), 13, 0.01f);
    SoftMaskOptions options = {.noise = Noise::kDrawn, .stream = {1, 2, 3, 4}};
    std::vector<float> all(static_cast<size_t>(groups * group)), part(all.size());
    soft_mask(logits.data(), groups, c, options, all.data());
    options.first_group = first;
    soft_mask(&logits[first * c.count()], groups - first, c, options, part.data());
    EXPECT_TRUE(std::equal(all.begin() + first * group, all.end(), part.begin()));
  }
}

// The words and bits of soft_mask.h's noise, from the definition of the stream.
TEST(SoftMask, noise_is_the_documented_function_of_the_stream) {
  const RandomStream stream = {9, 8, 7, 6};
  for (const auto& [kept, group] : {MaskPattern{2, 4}, {1, 4}, {4, 8}, {1, 7}}) {
    const Candidates c(kept, group);
    const int64_t groups = 41, blocks = (c.count() + 5) / 6;
    const auto logits = random_values<float>(groups * c.count(), 14, 0.01f);
    std::vector<float> gumbel(logits.size()), drawn(static_cast<size_t>(groups * group)),
        given(drawn.size());
    for (int64_t g = 0; g < groups; ++g) {
      for (int64_t k = 0; k < c.count(); ++k) {
        const PhiloxBlock block = stream(static_cast<uint32_t>(g * blocks + k / 6));
        unsigned __int128 bits = 0;
        for (int word = 3; word >= 0; --word) bits = bits << 32 | block[word];
        const auto number = static_cast<uint32_t>(bits >> (21 * (k % 6))) & 0x1fffffu;
        gumbel[g * c.count() + k] =
            static_cast<float>(-std::log(-std::log((number + 0.5) * 0x1p-21)));
      }
    }
    SoftMaskOptions options = {.noise = Noise::kDrawn, .stream = stream};
    soft_mask(logits.data(), groups, c, options, drawn.data());
    options.noise = Noise::kGiven;
    options.gumbel = gumbel.data();
    soft_mask(logits.data(), groups, c, options, given.data());
    for (size_t i = 0; i < drawn.size(); ++i) ASSERT_NEAR(drawn[i], given[i], 2e-6);
  }
}

TEST(SoftMask, is_nan_where_a_logit_is_and_nowhere_else) {
  for (const MaskPattern& pattern : {MaskPattern{2, 4}, {1, 4}, {3, 6}}) {
    for (const Choice choice : {Choice::kSoft, Choice::kHard}) {
      const Candidates c(pattern.kept, pattern.group);
      const int64_t group = c.group();
      const int64_t groups = 40;
      auto logits = random_values<float>(groups * c.count(), 15);
      const auto dsoft = random_values<float>(groups * group, 16);
      for (const int64_t k : {int64_t{0}, c.count() - 1}) logits[(17 + k) * c.count() + k] = NAN;
      std::vector<float> soft(static_cast<size_t>(groups * group)), dlogits(logits.size());
      for_each_instruction_set_and_thread_count([&](const char* name) {
        const SoftMaskOptions options = {.choice = choice};
        soft_mask(logits.data(), groups, c, options, soft.data());
        soft_mask_gradient(logits.data(), dsoft.data(), groups, c, options, dlogits.data());
        for (int64_t g = 0; g < groups; ++g) {
          const bool bad = g == 17 || g == 17 + c.count() - 1;
          for (int64_t i = 0; i < group; ++i)
            ASSERT_EQ(std::isnan(soft[g * group + i]), bad) << name;
          for (int64_t k = 0; k < c.count(); ++k) {
            ASSERT_EQ(std::isnan(dlogits[g * c.count() + k]), bad) << name;
          }
        }
      });
      std::vector<uint8_t> best(soft.size());
      best_mask(logits.data(), groups, c, best.data());
      EXPECT_EQ(std::accumulate(best.begin(), best.end(), int64_t{0}), groups * c.kept());
    }
  }
}

TEST(SoftMask, refuses_what_it_cannot_compute) {
  const Candidates c(2, 4);
  float logits[6] = {}, soft[4], weight[6] = {};
  EXPECT_THAT_ERROR(soft_mask(logits, 1, c, {.tau = 0}, soft), "tau is 0");
  EXPECT_THAT_ERROR(soft_mask(logits, 1, c, {.tau = NAN}, soft), "tau is nan");
  EXPECT_THAT_ERROR(soft_mask(logits, 1, c, {.tau = 1e-40f}, soft), "tau is");
  EXPECT_THAT_ERROR(soft_mask(logits, 1, c, {.kappa = -1}, soft), "kappa is -1");
  EXPECT_THAT_ERROR(soft_mask(logits, 1, c, {.kappa = INFINITY}, soft), "kappa is inf");
  EXPECT_THAT_ERROR(soft_masked_weight(logits, weight, 1, 6, c, {}, soft), "6 columns");
  EXPECT_THAT_ERROR(best_masked_weight(logits, weight, 1, 6, c, soft), "6 columns");
  const SoftMaskOptions far = {.noise = Noise::kDrawn, .first_group = int64_t{1} << 32};
  EXPECT_THAT_ERROR(soft_mask(logits, 1, c, far, soft), "more than 2^32 blocks");
  const Candidates many(4, 8);
  const SoftMaskOptions beyond = {.noise = Noise::kDrawn, .first_group = (int64_t{1} << 32) / 12};
  EXPECT_THAT_ERROR(
      soft_mask(std::vector<float>(70).data(), 1, many, beyond, std::vector<float>(8).data()),
      "more than 2^32 blocks");
}

}  // namespace
}  // namespace twofour::kernels
