#include "twofour/train/optimizer.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>

#include "twofour/sparse/masks.h"
#include "twofour/tensor/accumulate.h"
#include "twofour/tensor/tensor_testing.h"

namespace twofour::train {
namespace {

using tensor::Golden;
using tensor::largest_difference;

AdamWOptions adamw_options(double beta1, double beta2, double epsilon, double weight_decay,
                           double clip) {
  return {beta1, beta2, epsilon, clip, decay_on_matrices(weight_decay)};
}

at::Tensor moment_of(const AdamW& optimizer, const std::string& name) {
  for (const auto& [key, tensor] : optimizer.state()) {
    if (key == name) return tensor;
  }
  ADD_FAILURE() << "no tensor " << name;
  return {};
}

TEST(AdamW, equals_torch_over_ten_clipped_steps_at_any_loss_scale) {
  const Golden golden("adamw");
  for (const double scale : {1.0, 65536.0, 1000.0}) {
    const at::Tensor matrix = golden["matrix_0"], vector = golden["vector_0"];
    AdamW optimizer({{"matrix", matrix}, {"vector", vector}},
                    adamw_options(0.9, 0.95, 1e-8, 0.1, 1.0));
    for (int step = 1; step <= 10; ++step) {
      const std::string suffix = std::to_string(step);
      tensor::add_to_gradient(matrix, golden["matrix_grad_" + suffix].mul(scale));
      tensor::add_to_gradient(vector, golden["vector_grad_" + suffix].mul(scale));
      EXPECT_NEAR(optimizer.step(3e-3, scale), golden["norm_" + suffix].item<double>(), 1e-4);
      EXPECT_LT(largest_difference(matrix, golden["matrix_" + suffix]), 1e-6) << scale;
      EXPECT_LT(largest_difference(vector, golden["vector_" + suffix]), 1e-6) << scale;
    }
  }
}

TEST(AdamW, decays_matrices_only) {
  for (const bool is_frozen : {false, true}) {
    const at::Tensor matrix = at::full({2, 2}, 1.0), vector = at::full({2}, 1.0);
    AdamW optimizer({{"m", matrix}, {"v", vector}}, adamw_options(0.9, 0.95, 1e-8, 0.5, 1.0));
    optimizer.step(0.1);
    if (is_frozen) optimizer.freeze_second_moment();
    optimizer.step(0.1);
    EXPECT_NEAR(matrix.max().item<double>(), std::pow(1.0 - 0.1 * 0.5, 2), 1e-6);
    EXPECT_EQ(vector.max().item<double>(), 1.0);
  }
}

TEST(AdamW, groups_differ_in_learning_rate_and_decay) {
  const at::Tensor slow = at::full({2, 2}, 1.0).requires_grad_();
  const at::Tensor fast = at::full({2, 2}, 1.0).requires_grad_();
  AdamWOptions options;
  options.groups = {{.pattern = "^fast", .learning_rate_factor = 10.0},
                    {.pattern = "", .weight_decay = 0.5}};
  AdamW optimizer({{"slow", slow}, {"fast", fast}}, options);
  tensor::gradient_of(slow).fill_(1.0);
  tensor::gradient_of(fast).fill_(1.0);
  optimizer.step(0.01);
  // Adam's first step equals the learning rate.
  EXPECT_NEAR(slow[0][0].item<double>(), 1.0 - 0.01 * 0.5 - 0.01, 1e-6);
  EXPECT_NEAR(fast[0][0].item<double>(), 1.0 - 0.1, 1e-6);
  options.groups.pop_back();
  const std::vector<std::pair<std::string, at::Tensor>> outsiders = {{"slow", slow}};
  EXPECT_THAT_ERROR(AdamW(outsiders, options), "no group of parameters takes \"slow\"");
}

TEST(AdamW, a_gradient_that_is_not_finite_updates_nothing) {
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    const at::Tensor weight = at::full({4}, 2.0);
    AdamW optimizer({{"w", weight}}, {});
    tensor::add_to_gradient(weight, at::full({4}, bad));
    const double norm =
        optimizer.step(0.1, 8.0, [](double) { ADD_FAILURE() << "there is no update"; });
    EXPECT_FALSE(std::isfinite(norm));
    EXPECT_TRUE(weight.equal(at::full({4}, 2.0)));
    EXPECT_EQ(optimizer.steps_taken(), 0);
    for (const char* moment : {"exp_avg.w", "exp_avg_sq.w"}) {
      EXPECT_TRUE(moment_of(optimizer, moment).equal(at::zeros({4})));
    }
  }
}

TEST(AdamW, clips_the_norm_over_all_parameters) {
  // Adam ignores the scale of its first gradient, so this compares the clipped moments.
  const at::Tensor a = at::full({1}, 0.0), b = at::full({1}, 0.0);
  AdamW optimizer({{"a", a}, {"b", b}}, adamw_options(0.9, 0.95, 1e-8, 0.0, 1.0));
  tensor::add_to_gradient(a, at::full({1}, 3.0));
  tensor::add_to_gradient(b, at::full({1}, 4.0));
  EXPECT_NEAR(optimizer.step(0.1), 5.0, 1e-6);
  EXPECT_NEAR(moment_of(optimizer, "exp_avg.a").item<double>(), 0.1 * 3.0 / 5.0, 1e-6);
  EXPECT_NEAR(moment_of(optimizer, "exp_avg.b").item<double>(), 0.1 * 4.0 / 5.0, 1e-6);
  EXPECT_EQ(a.grad().item<double>(), 0.0) << "a step leaves the gradients cleared";
}

// The states after each gradient's step; with a freeze of the second moment half way if asked.
std::vector<at::Tensor> run_of(const std::vector<at::Tensor>& gradients, double scale, double clip,
                               bool freezes) {
  at::Tensor weight = gradients[0].clone();
  AdamW optimizer({{"w", weight}}, adamw_options(0.9, 0.95, 1e-8, 0.1, clip));
  for (size_t step = 0; step < gradients.size(); ++step) {
    if (freezes && step == gradients.size() / 2) optimizer.freeze_second_moment();
    tensor::add_to_gradient(weight, gradients[step].mul(scale));
    optimizer.step(1e-2, scale, [&](double divisor) {
      tensor::gradient_of(weight).add_(weight, 0.01 * divisor);
    });
  }
  return {weight, moment_of(optimizer, "exp_avg.w"), moment_of(optimizer, "exp_avg_sq.w")};
}

TEST(AdamW, a_loss_scale_that_is_a_power_of_two_changes_no_bit) {
  std::vector<at::Tensor> gradients;
  for (int step = 0; step < 10; ++step) gradients.push_back(at::randn({9, 7}));
  for (const double clip : {0.0, 1.0, 100.0}) {
    for (const bool freezes : {false, true}) {
      const auto plain = run_of(gradients, 1.0, clip, freezes);
      for (const double scale : {0x1p-8, 2.0, 65536.0, 0x1p60}) {
        const auto scaled = run_of(gradients, scale, clip, freezes);
        for (size_t i = 0; i < plain.size(); ++i) {
          EXPECT_TRUE(scaled[i].equal(plain[i])) << scale << " clip " << clip << " tensor " << i;
        }
      }
    }
  }
}

TEST(AdamW, decay_before_the_update_is_added_to_the_clipped_unscaled_gradient) {
  constexpr double kLambda = 0.05;
  for (const double clip : {0.0, 0.5, 1e6}) {  // off, on, on without effect
    for (const double scale : {1.0, 3.0, 65536.0}) {
      at::Tensor weight = at::randn({8, 8}), mask = at::zeros({8}, at::kByte);
      sparse::search_mask(weight, sparse::MaskSearch::kMagnitude, mask);
      const at::Tensor before = weight.clone(), gradient = at::randn({8, 8});
      AdamW optimizer({{"w", weight}}, adamw_options(/*beta1=*/0.0, 0.95, 1e-8, 0.1, clip));
      tensor::add_to_gradient(weight, gradient.mul(scale));
      optimizer.step(1e-2, scale, [&](double divisor) {
        sparse::add_masked_decay(weight, mask, kLambda * divisor, tensor::gradient_of(weight));
      });
      const double norm = gradient.norm().item<double>();
      const double factor = clip > 0 ? std::min(1.0, clip / norm) : 1.0;
      at::Tensor kept = at::zeros({8, 8});
      sparse::masked_weight(before, mask, kept);
      const at::Tensor expected = gradient.mul(factor).add(before.sub(kept), kLambda);
      // With β1 = 0 the first moment is the gradient that AdamW sees.
      EXPECT_LT(largest_difference(moment_of(optimizer, "exp_avg.w"), expected), 1e-5)
          << "clip " << clip << " scale " << scale;
    }
  }
}

TEST(AdamW, sees_the_golden_gradient_of_sr_ste) {
  const Golden golden("sr_ste");
  at::Tensor weight = golden["weight"], mask = at::zeros({weight.numel() / 8}, at::kByte);
  sparse::search_mask(weight, sparse::MaskSearch::kMagnitude, mask);
  AdamW optimizer({{"w", weight}}, adamw_options(/*beta1=*/0.0, 0.95, 1e-8, 0.1, /*clip=*/0.0));
  tensor::add_to_gradient(weight, golden["dw"].mul(256));
  optimizer.step(1e-2, 256, [&](double divisor) {
    sparse::add_masked_decay(weight, mask, golden["lambda"].item<double>() * divisor,
                             tensor::gradient_of(weight));
  });
  EXPECT_LT(largest_difference(moment_of(optimizer, "exp_avg.w"), golden["gradient"]), 1e-6);
}

// STEP, arXiv 2302.01172, algorithm 1, in double.
TEST(AdamW, with_a_frozen_second_moment_equals_its_definition) {
  constexpr double kRate = 1e-2, kBeta1 = 0.9, kBeta2 = 0.95, kEpsilon = 1e-8, kDecay = 0.1;
  at::Tensor weight = at::randn({9, 7});
  AdamW optimizer({{"w", weight}}, adamw_options(kBeta1, kBeta2, kEpsilon, kDecay, /*clip=*/0.0));
  at::Tensor w = weight.to(at::kDouble), m = w.mul(0), v = w.mul(0);
  for (int step = 1; step <= 20; ++step) {
    const at::Tensor gradient = at::randn({9, 7});
    const int frozen_at = 8;
    if (step == frozen_at + 1) optimizer.freeze_second_moment();
    EXPECT_EQ(optimizer.has_frozen_second_moment(), step > frozen_at);
    tensor::add_to_gradient(weight, gradient);
    optimizer.step(kRate);
    const at::Tensor g = gradient.to(at::kDouble);
    m = m.mul(kBeta1).add(g, 1 - kBeta1);
    if (step <= frozen_at) v = v.mul(kBeta2).add(g.mul(g), 1 - kBeta2);
    const at::Tensor m_hat = m.div(1 - std::pow(kBeta1, step));
    const at::Tensor v_hat = v.div(1 - std::pow(kBeta2, std::min(step, frozen_at)));
    w = w.mul(1 - kRate * kDecay).sub(m_hat.div(v_hat.sqrt().add(kEpsilon)), kRate);
    EXPECT_LT(largest_difference(weight, w), 1e-5) << step;
  }
  EXPECT_LT(largest_difference(moment_of(optimizer, "exp_avg_sq.w"), v), 1e-6);
}

TEST(AdamW, freezes_the_named_parameters_only) {
  const auto start = [] { return at::full({3, 5}, 0.5); };
  at::Tensor frozen = start(), adapting = start(), alone = start();
  AdamW both({{"a", frozen}, {"b", adapting}}, adamw_options(0.9, 0.95, 1e-8, 0.1, /*clip=*/0.0),
             [](const std::string& name) { return name == "a"; });
  AdamW plain({{"b", alone}}, adamw_options(0.9, 0.95, 1e-8, 0.1, /*clip=*/0.0));
  at::Tensor held;
  for (int step = 0; step < 10; ++step) {
    if (step == 4) {
      both.freeze_second_moment();
      held = moment_of(both, "exp_avg_sq.a").clone();
    }
    const at::Tensor gradient = at::randn({3, 5});
    for (const at::Tensor& weight : {frozen, adapting, alone}) {
      tensor::add_to_gradient(weight, gradient);
    }
    both.step(1e-2);
    plain.step(1e-2);
    EXPECT_TRUE(adapting.equal(alone)) << step;
  }
  EXPECT_TRUE(moment_of(both, "exp_avg_sq.a").equal(held));
  EXPECT_TRUE(moment_of(both, "exp_avg_sq.b").equal(moment_of(plain, "exp_avg_sq.b")));
  EXPECT_FALSE(frozen.equal(adapting));
}

// With a constant gradient the second moment is constant, so freezing it changes nothing.
TEST(AdamW, goes_on_evenly_where_the_second_moment_freezes) {
  at::Tensor weight = at::randn({9, 7}), other = weight.clone();
  const at::Tensor gradient = at::randn({9, 7});
  AdamW freezing({{"w", weight}}, {}), adapting({{"w", other}}, {});
  for (int step = 0; step < 12; ++step) {
    if (step == 3) freezing.freeze_second_moment();
    tensor::add_to_gradient(weight, gradient);
    tensor::add_to_gradient(other, gradient);
    freezing.step(1e-2);
    adapting.step(1e-2);
    EXPECT_LT(largest_difference(weight, other), 1e-6) << step;
  }
}

TEST(AdamW, tells_how_much_the_second_moment_will_change) {
  at::Tensor weight = at::randn({9, 7}), still = at::zeros({5});
  AdamW optimizer({{"w", weight}, {"still", still}},
                  adamw_options(0.9, 0.95, 1e-8, 0.1, /*clip=*/0.5));
  for (int step = 0; step < 4; ++step) {
    const at::Tensor before = moment_of(optimizer, "exp_avg_sq.w").clone();
    SecondMomentChange change;
    tensor::add_to_gradient(weight, at::randn({9, 7}).mul(64));
    optimizer.step(1e-2, 64,
                   [&](double divisor) { change = optimizer.second_moment_change(divisor); });
    const at::Tensor by = moment_of(optimizer, "exp_avg_sq.w").sub(before).abs().to(at::kDouble);
    EXPECT_NEAR(change.arithmetic / (by.sum().item<double>() / (63 + 5)), 1.0, 1e-4);
    EXPECT_NEAR(change.geometric / std::exp(by.log().mean().item<double>()), 1.0, 0.02)
        << "of those that changed";
  }
}

TEST(AdamW, a_second_moment_that_does_not_change_has_no_mean_change) {
  at::Tensor weight = at::zeros({4});
  AdamW optimizer({{"w", weight}}, {});
  const SecondMomentChange change = optimizer.second_moment_change(1.0);
  EXPECT_EQ(change.arithmetic, 0.0);
  EXPECT_EQ(change.geometric, 0.0);
}

}  // namespace
}  // namespace twofour::train
