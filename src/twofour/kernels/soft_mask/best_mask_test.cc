#include <algorithm>
#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include "twofour/kernels/soft_mask/soft_mask.h"
#include "twofour/kernels/soft_mask/soft_mask_testing.h"

namespace twofour::kernels {
namespace {

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

}  // namespace
}  // namespace twofour::kernels
