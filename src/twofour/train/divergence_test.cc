#include "twofour/train/divergence.h"

#include <cmath>

#include <gtest/gtest.h>

namespace twofour::train {
namespace {

constexpr double kFactor = 1000;

DivergenceWatch after_norms(int count, double norm) {
  DivergenceWatch watch(kFactor);
  for (int step = 0; step < count; ++step) watch.record(norm);
  return watch;
}

TEST(Divergence, is_an_explosion_that_lasts) {
  DivergenceWatch watch = after_norms(20, 2.0);
  for (int step = 1; step <= DivergenceWatch::kPatience; ++step) {
    EXPECT_FALSE(watch.has_diverged()) << step;
    watch.record(2.0 * kFactor * 1.01);
    EXPECT_TRUE(watch.is_suspicious());
  }
  EXPECT_TRUE(watch.has_diverged());
  EXPECT_NEAR(watch.usual_norm(), 2.0, 1e-12) << "explosions are no part of the average";
}

TEST(Divergence, one_usual_norm_starts_the_count_anew) {
  DivergenceWatch watch = after_norms(20, 2.0);
  for (int round = 0; round < 3; ++round) {
    for (int step = 1; step < DivergenceWatch::kPatience; ++step) watch.record(1e9);
    EXPECT_FALSE(watch.has_diverged());
    watch.record(2.0 * kFactor * 0.99);
    EXPECT_FALSE(watch.is_suspicious());
  }
}

TEST(Divergence, a_norm_that_grows_slowly_is_none) {
  DivergenceWatch watch = after_norms(20, 1e-3);
  for (double norm = 1e-3; norm < 1e9; norm *= 1.04) {
    watch.record(norm);
    ASSERT_FALSE(watch.is_suspicious()) << norm;
  }
}

TEST(Divergence, the_first_ten_norms_are_believed) {
  DivergenceWatch watch(kFactor);
  double norm = 1e-20;
  for (int step = 0; step < 10; ++step, norm *= 1e4) {
    watch.record(norm);
    EXPECT_FALSE(watch.is_suspicious());
  }
}

TEST(Divergence, follows_the_last_hundred_steps_or_so) {
  DivergenceWatch watch = after_norms(10, 4.0);
  for (int step = 0; step < 10; ++step) watch.record(1.0);
  EXPECT_NEAR(watch.usual_norm(), 2.0, 1e-9) << "the mean of the logarithms";
  for (int step = 0; step < 1000; ++step) watch.record(8.0);
  EXPECT_NEAR(watch.usual_norm(), 8.0, 0.01);
}

TEST(Divergence, a_gradient_of_zeros_is_a_norm_like_others) {
  DivergenceWatch watch = after_norms(20, 0.0);
  EXPECT_TRUE(std::isfinite(watch.usual_norm()));
  watch.record(0.0);
  EXPECT_FALSE(watch.is_suspicious());
}

TEST(Divergence, factor_0_never_suspects) {
  DivergenceWatch watch(0);
  for (int step = 0; step < 20; ++step) watch.record(1.0);
  for (int step = 0; step < 20; ++step) watch.record(1e30);
  EXPECT_FALSE(watch.is_suspicious());
  EXPECT_FALSE(watch.has_diverged());
}

TEST(Divergence, goes_on_from_its_state) {
  DivergenceWatch before = after_norms(20, 2.0);
  for (int step = 1; step < DivergenceWatch::kPatience; ++step) before.record(1e9);
  DivergenceWatch after(kFactor);
  after.state().copy_(before.state());
  EXPECT_EQ(after.usual_norm(), before.usual_norm());
  EXPECT_FALSE(after.has_diverged());
  after.record(1e9);
  EXPECT_TRUE(after.has_diverged());
}

}  // namespace
}  // namespace twofour::train
