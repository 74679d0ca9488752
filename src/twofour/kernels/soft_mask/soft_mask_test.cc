#include "twofour/kernels/soft_mask/soft_mask.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include "twofour/kernels/kernels_testing.h"

#include "testing.h"

namespace twofour::kernels {
namespace {

struct MaskPattern {
  int64_t kept, group;
};

// All patterns of groups of up to 8 and some others.
std::vector<MaskPattern> learnable_patterns() {
  std::vector<MaskPattern> all = {{1, 16}, {1, 70}, {69, 70}, {2, 12}, {10, 12}, {3, 8}, {1, 9}};
  for (int64_t group = 2; group <= 8; ++group) {
    for (int64_t kept = 1; kept < group; ++kept) all.push_back({kept, group});
  }
  return all;
}

template <class T>
std::vector<T> rounded(const std::vector<float>& values) {
  std::vector<T> out(values.size());
  for (size_t i = 0; i < values.size(); ++i) store(values[i], out[i]);
  return out;
}

template <class T>
std::vector<T> random_values(int64_t count, uint32_t seed, float scale = 1.0f) {
  auto values = normal_floats(static_cast<size_t>(count), seed);
  for (float& value : values) value *= scale;
  return rounded<T>(values);
}

// Of one group, in float64: the definition.
struct GroupInDouble {
  std::vector<double> y, soft;

  GroupInDouble(const float* logits, const float* gumbel, const Candidates& c, double kappa,
                double tau)
      : y(static_cast<size_t>(c.count())), soft(static_cast<size_t>(c.group())) {
    double top = -1e300, sum = 0;
    for (int64_t k = 0; k < c.count(); ++k) {
      y[k] = (kappa * logits[k] + (gumbel ? gumbel[k] : 0.0)) / tau;
      top = std::max(top, y[k]);
    }
    for (double& value : y) sum += value = std::exp(value - top);
    for (int64_t k = 0; k < c.count(); ++k) {
      y[k] /= sum;
      for (int64_t i = 0; i < c.kept(); ++i) soft[c.positions(k)[i]] += y[k];
    }
  }

  // dlogits, for dsoft.
  std::vector<double> gradient(const std::vector<double>& dsoft, const Candidates& c, double kappa,
                               double tau) const {
    std::vector<double> d(y.size());
    double mean = 0;
    for (size_t k = 0; k < y.size(); ++k) {
      for (int64_t i = 0; i < c.kept(); ++i) {
        d[k] += dsoft[c.positions(static_cast<int64_t>(k))[i]];
      }
      mean += y[k] * d[k];
    }
    for (size_t k = 0; k < y.size(); ++k) d[k] = kappa / tau * y[k] * (d[k] - mean);
    return d;
  }
};

TEST(Candidates, are_all_masks_in_the_order_of_their_positions) {
  for (const auto& [kept, group] : learnable_patterns()) {
    const Candidates candidates(kept, group);
    double expected = 1;
    for (int64_t i = 0; i < kept; ++i) {
      expected = expected * static_cast<double>(group - i) / static_cast<double>(i + 1);
    }
    ASSERT_EQ(candidates.count(), std::llround(expected)) << kept << ":" << group;
    for (int64_t k = 0; k < candidates.count(); ++k) {
      const uint8_t* const at = candidates.positions(k);
      std::vector<uint8_t> mask(static_cast<size_t>(group));
      for (int64_t i = 0; i < kept; ++i) mask[at[i]] = static_cast<uint8_t>(2 * i + 1);
      ASSERT_EQ(candidates.index_of(mask.data()), k);
      if (k == 0) continue;
      const uint8_t* const before = candidates.positions(k - 1);
      ASSERT_TRUE(std::lexicographical_compare(before, before + kept, at, at + kept));
    }
  }
}

TEST(Candidates, of_two_in_four_have_the_order_of_the_paper) {
  const Candidates candidates(2, 4);
  const uint8_t masks[6][4] = {{1, 1, 0, 0}, {1, 0, 1, 0}, {1, 0, 0, 1},
                               {0, 1, 1, 0}, {0, 1, 0, 1}, {0, 0, 1, 1}};
  for (int64_t k = 0; k < 6; ++k) EXPECT_EQ(candidates.index_of(masks[k]), k);
  for (const auto& other : {std::array<uint8_t, 4>{1, 1, 1, 0}, {1, 0, 0, 0}, {0, 0, 0, 0}}) {
    EXPECT_EQ(candidates.index_of(other.data()), -1);
  }
}

TEST(Candidates, refuse_patterns_that_cannot_be_learned) {
  EXPECT_THAT_ERROR(Candidates(0, 4), "the pattern 0:4 is not one of N:M with 0 < N < M");
  EXPECT_THAT_ERROR(Candidates(4, 4), "the pattern 4:4");
  EXPECT_THAT_ERROR(Candidates(-1, 4), "the pattern -1:4");
  EXPECT_THAT_ERROR(Candidates(1, 71), "the pattern 1:71 has more than 70 masks");
  EXPECT_THAT_ERROR(Candidates(4, 9), "more than 70 masks");
  EXPECT_THAT_ERROR(Candidates(int64_t{1} << 61, int64_t{1} << 62), "more than 70 masks");
}

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

// All results of one layer, in bits.
template <class L, class W, class T>
std::vector<std::vector<uint32_t>> results_in_bits(const Candidates& c, int64_t rows,
                                                   int64_t columns, SoftMaskOptions options,
                                                   const std::vector<L>& logits,
                                                   const std::vector<W>& weight) {
  const int64_t entries = rows * columns, groups = entries / c.group();
  const auto dmasked = random_values<float>(entries, 71);
  const auto gumbel = random_values<float>(groups * c.count(), 72);
  if (options.noise == Noise::kGiven) options.gumbel = gumbel.data();
  std::vector<T> out(static_cast<size_t>(entries)), again(out.size()), best(out.size());
  auto dlogits = random_values<float>(groups * c.count(), 73);
  auto dweight = random_values<float>(entries, 74);
  const double squares =
      soft_masked_weight(logits.data(), weight.data(), rows, columns, c, options, out.data());
  add_soft_mask_gradients(logits.data(), weight.data(), dmasked.data(), rows, columns, c, options,
                          0.01, dlogits.data(), dweight.data(), again.data());
  best_masked_weight(logits.data(), weight.data(), rows, columns, c, best.data());
  const LogitStatistics statistics =
      logit_statistics(logits.data(), weight.data(), rows, columns, c, options.kappa);
  EXPECT_EQ(bits_of_all(again), bits_of_all(out));
  std::vector<std::vector<uint32_t>> all = {bits_of_all(out), bits_of_all(dlogits),
                                            bits_of_all(dweight), bits_of_all(best)};
  for (const double value : {squares, statistics.largest_probability, statistics.sum,
                             statistics.squares, statistics.kept_squares}) {
    uint64_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    all.push_back({static_cast<uint32_t>(bits), static_cast<uint32_t>(bits >> 32)});
  }
  return all;
}

template <class L, class W, class T>
void expect_the_same_bits(int64_t kept, int64_t group, int64_t rows, int64_t columns) {
  const Candidates c(kept, group);
  const auto logits = random_values<L>(rows * columns / group * c.count(), 75, 0.01f);
  const auto weight = random_values<W>(rows * columns, 76);
  for (const Noise noise : {Noise::kNone, Noise::kGiven, Noise::kDrawn}) {
    for (const Choice choice : {Choice::kSoft, Choice::kHard}) {
      const SoftMaskOptions options = {
          .kappa = 200, .tau = 0.5f, .choice = choice, .noise = noise, .stream = {5, 6, 7, 8}};
      std::vector<std::vector<uint32_t>> expected;
      for_each_instruction_set_and_thread_count([&](const char* name) {
        const auto bits = results_in_bits<L, W, T>(c, rows, columns, options, logits, weight);
        if (expected.empty()) expected = bits;
        for (size_t i = 0; i < bits.size(); ++i) {
          ASSERT_EQ(bits[i], expected[i])
              << name << ", " << kept << ":" << group << ", " << rows << " x " << columns
              << ", noise " << static_cast<int>(noise) << ", result " << i;
        }
      });
    }
  }
}

TEST(SoftMask, has_the_same_bits_for_every_instruction_set_and_thread_count) {
  for (const auto& [kept, group] : learnable_patterns()) {
    expect_the_same_bits<float, float, float>(kept, group, 3, 7 * group);
  }
  expect_the_same_bits<float, float, bfloat16>(2, 4, 5, 4 * 31);
  expect_the_same_bits<bfloat16, float, float16>(2, 4, 1, 4 * 17);
  expect_the_same_bits<bfloat16, bfloat16, bfloat16>(1, 4, 9, 4 * 3);
  expect_the_same_bits<float, float16, float16>(4, 8, 9, 8 * 5);
}

TEST(SoftMask, of_large_matrices_has_the_same_bits_for_every_set_and_thread_count) {
  expect_the_same_bits<float, float, float>(2, 4, 131, 4 * 101);
  expect_the_same_bits<bfloat16, bfloat16, bfloat16>(1, 4, 67, 4 * 300);
  expect_the_same_bits<float, bfloat16, float>(3, 5, 50, 5 * 211);
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
  for (const auto& [kept, group] : {MaskPattern{2, 4}, {1, 4}, {3, 6}}) {
    for (const Choice choice : {Choice::kSoft, Choice::kHard}) {
      const Candidates c(kept, group);
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
      EXPECT_EQ(std::accumulate(best.begin(), best.end(), int64_t{0}), groups * kept);
    }
  }
}

TEST(BestMask, keeps_the_weights_of_the_likeliest_candidate) {
  const Candidates c(2, 4);
  const float logits[12] = {0, 0, 1, 0, 0, 0, NAN, 1, 3, 2, 0, 3};
  const float weight[8] = {1, -2, 3, -4, 5, -INFINITY, NAN, 8};
  float out[8];
  best_masked_weight(logits, weight, 2, 4, c, out);
  const float expected[8] = {1, 0, 0, -4, 5, 0, 0, 8};
  for (int i = 0; i < 8; ++i) EXPECT_EQ(bits_of(out[i]), bits_of(expected[i])) << i;
}

TEST(LogitStatistics, are_the_definition) {
  const Candidates c(2, 4);
  const int64_t rows = 40, columns = 4 * 60, groups = rows * 60;
  const auto logits = random_values<float>(groups * 6, 17, 0.01f);
  const auto w = random_values<float>(rows * columns, 18);
  LogitStatistics expected;
  for (int64_t g = 0; g < groups; ++g) {
    const float* const of = &logits[g * 6];
    const GroupInDouble one(of, nullptr, c, 100, 1);
    const auto winner = std::max_element(of, of + 6) - of;
    expected.largest_probability += one.y[winner];
    ++expected.histogram[static_cast<int>(one.y[winner] * 20)];
    for (int64_t k = 0; k < 6; ++k) {
      expected.sum += of[k];
      expected.squares += of[k] * double{of[k]};
    }
    for (int64_t i = 0; i < 2; ++i) {
      const double kept = w[g * 4 + c.positions(winner)[i]];
      expected.kept_squares += kept * kept;
    }
  }
  const LogitStatistics found = logit_statistics(logits.data(), w.data(), rows, columns, c, 100.0f);
  EXPECT_NEAR(found.largest_probability, expected.largest_probability, 1e-3);
  EXPECT_NEAR(found.sum, expected.sum, 1e-9);
  EXPECT_NEAR(found.squares, expected.squares, 1e-9);
  EXPECT_NEAR(found.kept_squares, expected.kept_squares, 1e-6);
  for (int i = 0; i < 20; ++i) EXPECT_NEAR(found.histogram[i], expected.histogram[i], 1) << i;
  EXPECT_EQ(std::accumulate(found.histogram, found.histogram + 20, int64_t{0}), groups);
}

TEST(Prior, starts_its_candidate_at_the_published_probability) {
  // METHODS, section 5: e³ / (e³ + 4 + e⁻³) = 0.832 for equal logits, κ σ = 1 and α = 3.
  const Candidates c(2, 4);
  float logits[6] = {};
  const uint8_t mask[4] = {0, 1, 0, 1};
  add_prior(logits, mask, 1, c, 3 * 0.01f);
  const float overlap[6] = {1, 0, 1, 1, 2, 1};
  for (int k = 0; k < 6; ++k) EXPECT_FLOAT_EQ(logits[k], (overlap[k] - 1) * 0.03f);
  const LogitStatistics statistics =
      logit_statistics(logits, std::vector<float>(4, 1.0f).data(), 1, 4, c, 100.0f);
  EXPECT_NEAR(statistics.largest_probability, 0.832, 5e-4);
  uint8_t best[4];
  best_mask(logits, 1, c, best);
  EXPECT_TRUE(std::equal(best, best + 4, mask));
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
