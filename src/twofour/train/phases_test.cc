#include "twofour/train/phases.h"

#include <cmath>
#include <optional>
#include <random>

#include <gtest/gtest.h>

namespace twofour::train {
namespace {

Method method_with(double dense_start, double dense_end) {
  Method method = method_named("ste");
  method.dense_start = dense_start;
  method.dense_end = dense_end;
  return method;
}

TEST(Phases, fixed_shares_and_numbers_are_the_dense_steps) {
  const struct {
    double start, end;
    int64_t first, last;  // sparse steps [first, last) of 60
  } cases[] = {{0, 0, 0, 60},        {0, 1.0 / 6, 0, 50}, {10, 0, 10, 60},
               {0.25, 0.25, 15, 45}, {1, 1, 1, 59},       {7, 0.5, 7, 30},
               {0, 59, 0, 1},        {59, 0, 59, 60},     {0.004, 0.004, 0, 60}};
  for (const auto& each : cases) {
    const Phases phases(method_with(each.start, each.end), 60);
    EXPECT_TRUE(phases.state().empty());
    EXPECT_EQ(phases.sparse_from(), each.first);
    for (int64_t step = 0; step < 60; ++step) {
      EXPECT_EQ(phases.is_sparse(step), step >= each.first && step < each.last)
          << each.start << " " << each.end << " " << step;
      EXPECT_FALSE(phases.watches(step));
    }
  }
}

TEST(Phases, no_step_of_a_dense_method_is_sparse) {
  const Phases phases(method_named("dense"), 10);
  for (int64_t step = 0; step < 10; ++step) EXPECT_FALSE(phases.is_sparse(step));
}

using Changes = std::vector<std::optional<double>>;  // by step; none = skipped

constexpr int64_t kSteps = 100;
constexpr double kBeta2 = 0.75;  // a window of four

Method auto_switch(SwitchRule rule, double threshold) {
  Method method = method_named("step");
  method.switch_rule = rule;
  method.switch_threshold = threshold;
  method.beta2 = kBeta2;
  return method;
}

// One step, as in Stepper: the rule uses `change`; the other mean would decide differently.
void take(Phases& phases, int64_t step, const std::optional<double>& change, SwitchRule rule) {
  if (!phases.watches(step)) return;
  SecondMomentChange both;
  if (change) {
    const bool is_arithmetic = rule == SwitchRule::kArithmetic;
    both = {is_arithmetic ? *change : 1e9 - *change, is_arithmetic ? 1e9 - *change : *change};
  }
  phases.record(step, change ? &both : nullptr);
}

int64_t decision(const Changes& changes, SwitchRule rule, double threshold) {
  Phases phases(auto_switch(rule, threshold), kSteps);
  for (int64_t step = 0; step < kSteps; ++step) {
    const int64_t from = phases.sparse_from();
    EXPECT_EQ(phases.is_sparse(step), from >= 0);
    take(phases, step, changes[static_cast<size_t>(step)], rule);
    if (from >= 0) {
      EXPECT_EQ(phases.sparse_from(), from) << "decided once and for all";
    }
  }
  return phases.sparse_from();
}

// The rule of the header; exact for changes that are small whole numbers.
int64_t expected_decision(const Changes& changes, double threshold) {
  std::vector<double> recorded;
  for (int64_t done = 1; done <= kSteps; ++done) {
    const auto& change = changes[static_cast<size_t>(done - 1)];
    if (change) recorded.push_back(*change);
    double sum = 0;
    for (size_t i = 0; i < 4 && i < recorded.size(); ++i) sum += recorded[recorded.size() - 1 - i];
    const bool is_settled = change && recorded.size() >= 4 && sum / 4 < threshold;
    if (done >= 50 || (done >= 10 && is_settled)) return done;
  }
  return -1;
}

TEST(AutoSwitch, begins_once_the_mean_over_the_window_is_under_the_threshold) {
  for (const SwitchRule rule : {SwitchRule::kArithmetic, SwitchRule::kGeometric}) {
    Changes changes(kSteps, 8.0);
    for (size_t step = 20; step < changes.size(); ++step) changes[step] = 0.0;
    EXPECT_EQ(decision(changes, rule, 5.0), 22) << "8 8 0 0 has the mean 4";
    EXPECT_EQ(decision(changes, rule, 4.0), 23) << "under, not at";
    EXPECT_EQ(decision(changes, rule, 1e-9), 24);
  }
}

TEST(AutoSwitch, keeps_within_its_bounds) {
  for (const SwitchRule rule : {SwitchRule::kArithmetic, SwitchRule::kGeometric}) {
    EXPECT_EQ(decision(Changes(kSteps, 0.0), rule, 1.0), 10);
    EXPECT_EQ(decision(Changes(kSteps, 2.0), rule, 1.0), 50);
    EXPECT_EQ(decision(Changes(kSteps, std::nullopt), rule, 1.0), 50);
    EXPECT_EQ(decision(Changes(kSteps, std::nan("")), rule, 1.0), 50);
  }
}

TEST(AutoSwitch, a_skipped_step_never_settles_but_counts_towards_the_latest) {
  Changes changes(kSteps, 0.0);
  changes[9] = std::nullopt;
  EXPECT_EQ(decision(changes, SwitchRule::kArithmetic, 1.0), 11);
  changes.assign(kSteps, 2.0);
  changes[49] = std::nullopt;
  EXPECT_EQ(decision(changes, SwitchRule::kArithmetic, 1.0), 50);
}

TEST(AutoSwitch, equals_its_definition_on_random_sequences_and_resumes_at_any_step) {
  for (unsigned seed = 0; seed < 60; ++seed) {
    std::mt19937 random(seed);
    const SwitchRule rule = seed % 2 ? SwitchRule::kArithmetic : SwitchRule::kGeometric;
    Changes changes;
    for (int64_t step = 0; step < kSteps; ++step) {
      const bool is_skipped = step > 8 && random() % 8 == 0;
      changes.push_back(is_skipped ? std::nullopt : std::optional<double>(random() % 9));
    }
    const double threshold = 0.5 + random() % 4;
    const int64_t expected = expected_decision(changes, threshold);
    ASSERT_EQ(decision(changes, rule, threshold), expected) << "seed " << seed;
    for (int64_t cut = 0; cut <= expected + 1; ++cut) {
      Phases before(auto_switch(rule, threshold), kSteps);
      for (int64_t step = 0; step < cut; ++step) take(before, step, changes[step], rule);
      Phases after(auto_switch(rule, threshold), kSteps);
      const auto saved = before.state(), live = after.state();
      ASSERT_EQ(saved.size(), live.size());
      for (size_t i = 0; i < live.size(); ++i) live[i].second.copy_(saved[i].second);
      for (int64_t step = cut; step < kSteps; ++step) take(after, step, changes[step], rule);
      ASSERT_EQ(after.sparse_from(), expected) << "seed " << seed << ", cut after " << cut;
    }
  }
}

TEST(AutoSwitch, has_a_dense_end_as_well) {
  Method method = auto_switch(SwitchRule::kArithmetic, 1.0);
  method.dense_end = 0.25;
  Phases phases(method, kSteps);
  for (int64_t step = 0; step < kSteps; ++step) take(phases, step, 0.0, method.switch_rule);
  for (int64_t step = 0; step < kSteps; ++step) {
    EXPECT_EQ(phases.is_sparse(step), step >= 10 && step < 75) << step;
  }
}

TEST(AutoSwitch, watches_no_longer_than_it_must) {
  Phases phases(auto_switch(SwitchRule::kArithmetic, 1.0), kSteps);
  for (int64_t step = 0; step < kSteps; ++step) {
    EXPECT_EQ(phases.watches(step), step >= 5 && step < 50) << step;
    take(phases, step, 2.0, SwitchRule::kArithmetic);
  }
}

// β2 = 0.999 means a window of 1000 steps, which a run of 40 never fills.
TEST(AutoSwitch, with_a_window_longer_than_the_run_begins_at_the_latest) {
  Method method = auto_switch(SwitchRule::kArithmetic, 1.0);
  method.beta2 = 0.999;
  Phases phases(method, 40);
  for (int64_t step = 0; step < 40; ++step) take(phases, step, 0.0, SwitchRule::kArithmetic);
  EXPECT_EQ(phases.sparse_from(), 20);
}

}  // namespace
}  // namespace twofour::train
