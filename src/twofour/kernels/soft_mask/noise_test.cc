// The noise of learned masks is Gumbel, and different for different groups, candidates and streams.
// Seeds are fixed, so a test that passes always does; the stated probability is that of a correct
// generator failing for a random seed.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "twofour/kernels/kernels_testing.h"
#include "twofour/kernels/soft_mask/soft_mask.h"

namespace twofour::kernels {
namespace {

// Candidate of each group that noise alone, or with these logits, chooses.
std::vector<int64_t> chosen_candidates(const Candidates& c, const std::vector<float>& logits,
                                       const RandomStream& stream, float kappa = 1) {
  const int64_t groups = static_cast<int64_t>(logits.size()) / c.count();
  std::vector<float> hard(static_cast<size_t>(groups * c.group()));
  soft_mask(
      logits.data(), groups, c,
      {.kappa = kappa, .tau = 1, .choice = Choice::kHard, .noise = Noise::kDrawn, .stream = stream},
      hard.data());
  std::vector<int64_t> chosen;
  for (int64_t g = 0; g < groups; ++g) {
    std::vector<uint8_t> mask;
    for (int64_t i = 0; i < c.group(); ++i) {
      mask.push_back(static_cast<uint8_t>(hard[g * c.group() + i]));
    }
    chosen.push_back(c.index_of(mask.data()));
  }
  return chosen;
}

// The sum of (observed - expected)² / expected, less than the limit with probability 1 - 1e-6: by
// Wilson and Hilferty's approximation of chi-square with `freedom` degrees, 4.753 deviations.
void expect_chi_square(const std::vector<double>& observed, const std::vector<double>& expected,
                       double freedom, const std::string& what) {
  double sum = 0;
  for (size_t i = 0; i < observed.size(); ++i) {
    sum += (observed[i] - expected[i]) * (observed[i] - expected[i]) / expected[i];
  }
  const double ninth = 2 / (9 * freedom);
  EXPECT_LT(sum, freedom * std::pow(1 - ninth + 4.753 * std::sqrt(ninth), 3)) << what;
}

// With two candidates, y = 1 / (1 + e^(g1 - g0)), and g0 - g1 is logistic. With kappa · logit far
// apart nothing of a single g is seen, so the numbers are read one by one: candidate k of C against
// the others at -∞ except one at 0 noise is not possible; instead y0 / y1 gives differences.
std::vector<double> noise_differences(const Candidates& c, int64_t groups,
                                      const RandomStream& stream) {
  // 1:M: the mask's entries are y itself.
  const std::vector<float> logits(static_cast<size_t>(groups * c.count()));
  std::vector<float> y(logits.size());
  soft_mask(logits.data(), groups, c, {.tau = 4, .noise = Noise::kDrawn, .stream = stream},
            y.data());
  std::vector<double> differences;
  for (int64_t g = 0; g < groups; ++g) {
    for (int64_t k = 0; k + 1 < c.count(); k += 2) {
      differences.push_back(4 * std::log(double{y[g * c.count() + k]} / y[g * c.count() + k + 1]));
    }
  }
  return differences;
}

// Kolmogorov and Smirnov: the largest distance from the distribution function exceeds
// √(-log(p / 2) / 2n) with probability p. p = 1e-6.
void expect_distribution(std::vector<double> sample, double (*function)(double),
                         const std::string& what) {
  std::sort(sample.begin(), sample.end());
  const auto n = static_cast<double>(sample.size());
  double largest = 0;
  for (size_t i = 0; i < sample.size(); ++i) {
    const double at = function(sample[i]), below = static_cast<double>(i) / n;
    largest = std::max({largest, at - below, below + 1 / n - at});
  }
  EXPECT_LT(largest, std::sqrt(-std::log(0.5e-6) / (2 * n))) << what;
}

double logistic_function(double x) { return 1 / (1 + std::exp(-x)); }

TEST(GumbelNoise, has_differences_with_the_logistic_distribution) {
  for (const int64_t group : {2, 4, 6, 7, 13, 70}) {
    expect_distribution(noise_differences(Candidates(1, group), 400000 / group, {42, 3, 2, 1}),
                        logistic_function, fmt::format("1:{}", group));
  }
}

// P(the chosen candidate is k) = softmax(κ π)_k, whatever τ is.
TEST(GumbelNoise, chooses_candidates_with_the_probabilities_of_the_softmax) {
  for (const auto& [kept, group] :
       {std::pair<int64_t, int64_t>{2, 4}, {1, 4}, {2, 5}, {1, 13}, {4, 8}}) {
    const Candidates c(kept, group);
    const auto of_group = normal_floats(static_cast<size_t>(c.count()), 23);
    const int64_t groups = 200000;
    std::vector<float> logits;
    for (int64_t g = 0; g < groups; ++g) {
      logits.insert(logits.end(), of_group.begin(), of_group.end());
    }
    std::vector<double> observed(of_group.size()), expected;
    double sum = 0;
    for (const float logit : of_group) sum += std::exp(0.8 * logit);
    for (const float logit : of_group) {
      expected.push_back(static_cast<double>(groups) * std::exp(0.8 * logit) / sum);
    }
    for (const int64_t k : chosen_candidates(c, logits, {24, 1, 2, 3}, 0.8f)) ++observed[k];
    expect_chi_square(observed, expected, static_cast<double>(c.count() - 1),
                      fmt::format("{}:{}", kept, group));
  }
}

// Pairs of choices in two streams that differ in one number are pairs of independent choices.
TEST(GumbelNoise, of_other_steps_micro_batches_tensors_and_seeds_is_independent) {
  const Candidates c(2, 4);
  const std::vector<float> logits(6 * 100000);
  const RandomStream stream = {24, 1, 2, 3};
  const auto first = chosen_candidates(c, logits, stream);
  const std::pair<const char*, RandomStream> others[] = {{"seed", {25, 1, 2, 3}},
                                                         {"step", {24, 2, 2, 3}},
                                                         {"micro-batch", {24, 1, 3, 3}},
                                                         {"tensor", {24, 1, 2, 4}},
                                                         {"swapped", {24, 2, 1, 3}}};
  const std::vector<double> expected(36, 100000 / 36.0);
  for (const auto& [name, other] : others) {
    const auto second = chosen_candidates(c, logits, other);
    std::vector<double> observed(36);
    for (size_t g = 0; g < first.size(); ++g) ++observed[first[g] * 6 + second[g]];
    expect_chi_square(observed, expected, 35, name);
  }
}

TEST(GumbelNoise, of_neighbouring_groups_is_independent) {
  for (const auto& [kept, group] : {std::pair<int64_t, int64_t>{2, 4}, {1, 8}, {1, 4}}) {
    const Candidates c(kept, group);
    const int64_t count = c.count(), pairs = 100000;
    const auto chosen = chosen_candidates(
        c, std::vector<float>(static_cast<size_t>(count * 2 * pairs)), {9, 9, 9, 9});
    std::vector<double> observed(static_cast<size_t>(count * count));
    const std::vector<double> expected(
        observed.size(), static_cast<double>(pairs) / static_cast<double>(count * count));
    for (int64_t g = 0; g < 2 * pairs; g += 2) ++observed[chosen[g] * count + chosen[g + 1]];
    expect_chi_square(observed, expected, static_cast<double>(count * count - 1),
                      fmt::format("{}:{}", kept, group));
  }
}

}  // namespace
}  // namespace twofour::kernels
