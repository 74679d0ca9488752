#include "twofour/train/loss_scaler.h"

#include <gtest/gtest.h>

namespace twofour::train {
namespace {

TEST(LossScaler, doubles_after_the_interval_and_counts_anew) {
  LossScaler scaler(1024, 3);
  for (const double expected : {1024, 1024, 2048, 2048, 2048, 4096}) {
    scaler.update(false);
    EXPECT_EQ(scaler.scale(), expected);
  }
}

TEST(LossScaler, halves_at_an_overflow_and_counts_anew) {
  LossScaler scaler(1024, 3);
  scaler.update(false);
  scaler.update(false);
  scaler.update(true);
  EXPECT_EQ(scaler.scale(), 512);
  for (const double expected : {512, 512, 1024}) {
    scaler.update(false);
    EXPECT_EQ(scaler.scale(), expected);
  }
}

TEST(LossScaler, stays_below_2_to_the_126) {
  LossScaler scaler(0x1p125, 1);
  for (int step = 0; step < 5; ++step) scaler.update(false);
  EXPECT_EQ(scaler.scale(), 0x1p126);
}

TEST(LossScaler, is_exhausted_below_2_to_the_minus_10) {
  LossScaler scaler(1, 1000);
  for (int halvings = 0; halvings < 10; ++halvings) {
    scaler.update(true);
    EXPECT_FALSE(scaler.is_exhausted()) << halvings;
  }
  scaler.update(true);
  EXPECT_TRUE(scaler.is_exhausted());
}

TEST(LossScaler, that_is_off_never_changes) {
  LossScaler scaler(0, 1);
  EXPECT_FALSE(scaler.is_on());
  scaler.update(false);
  for (int step = 0; step < 30; ++step) scaler.update(true);
  EXPECT_EQ(scaler.scale(), 1.0);
  EXPECT_FALSE(scaler.is_exhausted());
}

TEST(LossScaler, goes_on_from_its_state) {
  LossScaler before(1024, 3);
  before.update(true);
  before.update(false);
  before.update(false);
  LossScaler after(65536, 3);
  after.state().copy_(before.state());
  EXPECT_EQ(after.scale(), 512);
  after.update(false);
  EXPECT_EQ(after.scale(), 1024);
}

}  // namespace
}  // namespace twofour::train
