#include "twofour/train/schedule.h"

#include <gtest/gtest.h>

namespace twofour::train {
namespace {

TEST(LearningRate, rises_over_the_warm_up_to_the_peak) {
  EXPECT_DOUBLE_EQ(learning_rate(0, 100, 10, 1e-3, 1e-4), 1e-4);
  EXPECT_DOUBLE_EQ(learning_rate(9, 100, 10, 1e-3, 1e-4), 1e-3);
  for (int64_t step = 1; step < 10; ++step) {
    EXPECT_GT(learning_rate(step, 100, 10, 1e-3, 1e-4),
              learning_rate(step - 1, 100, 10, 1e-3, 1e-4));
  }
}

TEST(LearningRate, falls_by_a_cosine_to_its_end) {
  EXPECT_DOUBLE_EQ(learning_rate(10, 110, 10, 1e-3, 1e-4), 1e-3);
  EXPECT_NEAR(learning_rate(60, 110, 10, 1e-3, 1e-4), (1e-3 + 1e-4) / 2, 1e-12);
  EXPECT_NEAR(learning_rate(110, 110, 10, 1e-3, 1e-4), 1e-4, 1e-12);
  EXPECT_NEAR(learning_rate(10000, 110, 10, 1e-3, 1e-4), 1e-4, 1e-12);
  for (int64_t step = 11; step < 110; ++step) {
    EXPECT_LT(learning_rate(step, 110, 10, 1e-3, 1e-4),
              learning_rate(step - 1, 110, 10, 1e-3, 1e-4));
  }
}

TEST(LearningRate, has_sane_corners) {
  EXPECT_DOUBLE_EQ(learning_rate(0, 1, 0, 1e-3, 1e-4), 1e-3);
  EXPECT_DOUBLE_EQ(learning_rate(0, 5, 5, 1.0, 0.1), 0.2);
}

}  // namespace
}  // namespace twofour::train
