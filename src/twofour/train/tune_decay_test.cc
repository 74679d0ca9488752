#include "twofour/train/tune_decay.h"

#include <gtest/gtest.h>

#include "testing.h"

namespace twofour::train {
namespace {

// The flip rate falls as λ grows, to a half at `half`.
std::vector<double> decays_tried(double first, double half, int64_t most_runs) {
  std::vector<double> tried;
  const auto probes = bracket_decay(first, most_runs, [&](double decay) -> DecayProbe {
    tried.push_back(decay);
    return {decay, 0.1, 1 / (1 + decay / half), 3.0};
  });
  EXPECT_EQ(probes.size(), tried.size());
  for (size_t i = 0; i < probes.size(); ++i) {
    EXPECT_EQ(probes[i].is_healthy(), i + 1 == probes.size() && tried.size() < size_t(most_runs))
        << i;
  }
  return tried;
}

TEST(BracketDecay, ends_with_the_first_healthy_probe) {
  EXPECT_THAT(decays_tried(0.25, 1, 8), ::testing::ElementsAre(0.25));  // ratio 0.8
}

TEST(BracketDecay, goes_by_factors_of_four_to_the_other_side) {
  EXPECT_THAT(decays_tried(1, 1024, 8), ::testing::ElementsAre(1, 4, 16, 64));  // ratio 0.941
  EXPECT_THAT(decays_tried(1024, 16, 8), ::testing::ElementsAre(1024, 256, 64, 16, 4));
}

TEST(BracketDecay, goes_by_the_geometric_mean_between_two_sides) {
  // Healthy only near 2: the ratio is 1 below and 0 above.
  std::vector<double> tried;
  bracket_decay(1, 8, [&](double decay) -> DecayProbe {
    tried.push_back(decay);
    return {decay, 0.1, decay < 1.9 ? 1.0 : decay > 2.1 ? 0.0 : 0.8, 3.0};
  });
  EXPECT_THAT(tried, ::testing::ElementsAre(1, 4, 2));
}

TEST(BracketDecay, gives_up_after_most_runs) {
  EXPECT_THAT(decays_tried(1, 1e12, 3), ::testing::ElementsAre(1, 4, 16));
}

TrainOptions options_of(const std::string& method) {
  TrainOptions options;
  options.model.method = method_named(method);
  return options;
}

TEST(DecayProbeOptions, are_as_long_as_their_three_bounds) {
  TrainOptions options = options_of("fst");  // masks every 40 steps
  options.optimizer.steps = 100000;
  options.optimizer.warmup = 100;
  EXPECT_EQ(decay_probe_options(options, 0).run.stop_after, 5000);
  options.optimizer.warmup = 10000;
  EXPECT_EQ(decay_probe_options(options, 0).run.stop_after, 15000);
  options.optimizer.steps = 1000;
  options.optimizer.warmup = 20;
  EXPECT_EQ(decay_probe_options(options, 0).run.stop_after, 160);
  EXPECT_EQ(decay_probe_options(options, 200).run.stop_after, 200);
  EXPECT_EQ(decay_probe_options(options, 2000).run.stop_after, 1000);
  EXPECT_THAT_ERROR(decay_probe_options(options, 159), "at least 160, four mask intervals");
}

TEST(DecayProbeOptions, refuse_what_has_no_decay_or_no_flips) {
  EXPECT_THAT_ERROR(decay_probe_options(options_of("ste"), 0), "--method ste has none");
  TrainOptions options = options_of("sr-ste");
  options.model.method.mask_interval = 0;
  EXPECT_THAT_ERROR(decay_probe_options(options, 0), "--mask-interval is 0");
}

}  // namespace
}  // namespace twofour::train
