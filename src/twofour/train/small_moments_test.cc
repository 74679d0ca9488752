// AdamW with parameters in bfloat16, and with moments in bfloat16 and 8 bits.
#include "twofour/train/small_moments.h"

#include <cmath>

#include <gtest/gtest.h>

#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>

#include "twofour/base/parallel.h"
#include "twofour/tensor/accumulate.h"
#include "twofour/tensor/tensor_testing.h"
#include "twofour/train/optimizer.h"

namespace twofour::train {
namespace {

using tensor::largest_difference;

constexpr Moments kKinds[] = {Moments::kFloat32, Moments::kBFloat16, Moments::kEightBit};
constexpr const char* kKindNames[] = {"float32", "bfloat16", "8 bits"};

const char* kind_name(Moments kind) { return kKindNames[static_cast<size_t>(kind)]; }

AdamWOptions options_with(Moments kind) {
  AdamWOptions options;
  options.moments = kind;
  options.seed = 11;
  return options;
}

std::vector<std::string> names_of(const AdamW& optimizer) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : optimizer.state()) names.push_back(name);
  return names;
}

TEST(SmallMoments, in_float32_equal_the_fused_update) {
  at::Tensor fused = at::randn({70, 11}), small = fused.clone();
  AdamW optimizer({{"w", fused}}, {.clip = 0.0});
  const SmallMoments moments = make_moments(small, Moments::kFloat32);
  for (int t = 1; t <= 20; ++t) {
    const at::Tensor gradient = at::randn({70, 11}).mul(3.0);
    tensor::add_to_gradient(fused, gradient);
    optimizer.step(1e-2, 3.0);
    kernels::AdamWStep step;
    step.learning_rate = 1e-2;
    step.weight_decay = 0.1;
    step.gradient_divisor = 3.0;
    step.bias_correction1 = 1 - std::pow(step.beta1, t);
    step.bias_correction2 = 1 - std::pow(step.beta2, t);
    update_small(small, gradient, moments, step, {});
    // A step changes w by about 0.01, and both round w to 24 bits.
    EXPECT_LT(largest_difference(small, fused), 1e-6) << t;
    const auto state = optimizer.state();
    ASSERT_EQ(state[0].first, "exp_avg.w");
    EXPECT_LT(largest_difference(state[0].second, moments.exp_avg), 1e-6) << t;
    EXPECT_LT(largest_difference(state[1].second, moments.exp_avg_sq), 1e-6) << t;
  }
}

TEST(SmallMoments, have_the_state_that_their_kind_needs) {
  const at::Tensor matrix = at::zeros({20, 30}, at::kBFloat16), vector = at::zeros({5});
  const std::vector<std::pair<std::string, at::Tensor>> parameters = {{"m", matrix}, {"v", vector}};
  using Names = std::vector<std::string>;
  EXPECT_EQ(names_of(AdamW(parameters, options_with(Moments::kFloat32))),
            (Names{"exp_avg.v", "exp_avg_sq.v", "exp_avg.m", "exp_avg_sq.m", "counters"}));
  EXPECT_EQ(names_of(AdamW(parameters, options_with(Moments::kBFloat16))),
            (Names{"exp_avg.m", "exp_avg_sq.m", "exp_avg.v", "exp_avg_sq.v", "counters"}));
  const AdamW optimizer(parameters, options_with(Moments::kEightBit));
  EXPECT_EQ(names_of(optimizer), (Names{"exp_avg.m", "exp_avg_sq.m", "exp_avg_scale.m",
                                        "exp_avg_sq_scale.m", "exp_avg.v", "exp_avg_sq.v",
                                        "exp_avg_scale.v", "exp_avg_sq_scale.v", "counters"}));
  EXPECT_EQ(optimizer.state()[0].second.scalar_type(), at::kByte);
  EXPECT_EQ(optimizer.state()[2].second.numel(), 3);
  EXPECT_EQ(matrix.grad().scalar_type(), at::kFloat);
}

TEST(SmallMoments, follow_groups_decay_and_clipping) {
  for (const Moments kind : kKinds) {
    const at::Tensor slow = at::full({2, 2}, 1.0, at::kBFloat16);
    const at::Tensor fast = at::full({2, 2}, 1.0, at::kBFloat16);
    AdamWOptions options = options_with(kind);
    options.groups = {{.pattern = "^fast", .learning_rate_factor = 10.0},
                      {.pattern = "", .weight_decay = 0.5}};
    AdamW optimizer({{"slow", slow}, {"fast", fast}}, options);
    tensor::gradient_of(slow).fill_(30.0);
    tensor::gradient_of(fast).fill_(40.0);
    EXPECT_NEAR(optimizer.step(0.01, 10.0), 10.0, 1e-5) << "the norm, unscaled";
    // Adam's first step equals the learning rate. Below 1, the bfloat16 are 2^-8 apart.
    EXPECT_NEAR(slow[0][0].item<double>(), 1.0 - 0.01 * 0.5 - 0.01, 0.0040) << kind_name(kind);
    EXPECT_NEAR(fast[0][0].item<double>(), 1.0 - 0.1, 0.0040) << kind_name(kind);
    EXPECT_EQ(slow.grad().abs().max().item<double>(), 0.0) << "a step clears the gradients";
  }
}

TEST(SmallMoments, do_not_update_from_a_gradient_that_is_not_finite) {
  for (const Moments kind : kKinds) {
    const at::Tensor w = at::full({4}, 2.0, at::kBFloat16);
    AdamW optimizer({{"w", w}}, options_with(kind));
    tensor::gradient_of(w).fill_(INFINITY);
    EXPECT_FALSE(std::isfinite(optimizer.step(0.1)));
    EXPECT_TRUE(w.equal(at::full({4}, 2.0, at::kBFloat16)));
    EXPECT_EQ(optimizer.steps_taken(), 0);
  }
}

TEST(SmallMoments, refuse_a_freeze_and_other_dtypes) {
  const at::Tensor w = at::zeros({4}), half = at::zeros({4}, at::kHalf);
  AdamW optimizer({{"w", w}}, options_with(Moments::kEightBit));
  EXPECT_THAT_ERROR(optimizer.freeze_second_moment(),
                    "the second moment of \"w\" cannot be frozen");
  EXPECT_THAT_ERROR(optimizer.second_moment_change(1.0), "cannot be watched");
  const std::vector<std::pair<std::string, at::Tensor>> halves = {{"h", half}};
  EXPECT_THAT_ERROR(AdamW(halves, {}), "\"h\" is Half");
}

// Minimises the mean of curvature (w - target)² / 2 from gradients with noise, which are equal for
// all kinds of state.
class Quadratic {
 public:
  explicit Quadratic(int64_t size)
      : target_(at::randn({size})), curvature_(at::randn({size}).abs().add(0.1)) {}

  at::Tensor gradient(const at::Tensor& w) const { return curvature_.mul(w.sub(target_)); }
  double loss(const at::Tensor& w) const {
    const at::Tensor rest = w.to(at::kFloat).sub(target_);
    return curvature_.mul(rest).mul(rest).mean().item<double>() / 2;
  }

 private:
  at::Tensor target_, curvature_;
};

TEST(SmallMoments, follow_the_float32_trajectory_on_a_noisy_quadratic) {
  constexpr int64_t kSize = 4000;
  constexpr int kSteps = 600;
  const Quadratic quadratic(kSize);
  std::vector<at::Tensor> noise;
  for (int t = 0; t < 50; ++t) noise.push_back(at::randn({kSize}));
  const auto losses = [&](at::ScalarType dtype, Moments kind) {
    const at::Tensor w = at::zeros({kSize}, dtype);
    AdamWOptions options = options_with(kind);
    options.clip = 0;
    AdamW optimizer({{"w", w}}, options);
    std::vector<double> all;
    for (int t = 0; t < kSteps; ++t) {
      const auto& drawn = noise[static_cast<size_t>(t * 7 % 50)];
      tensor::gradient_of(w).copy_(quadratic.gradient(w.to(at::kFloat)).add(drawn));
      optimizer.step(4e-3);
      if (t % 50 == 49) all.push_back(quadratic.loss(w));
    }
    return all;
  };
  const auto exact = losses(at::kFloat, Moments::kFloat32);
  ASSERT_LT(exact.back(), 0.1 * exact.front());
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const Moments kind : kKinds) {
      const auto here = losses(dtype, kind);
      for (size_t i = 0; i < exact.size(); ++i) {
        EXPECT_NEAR(here[i], exact[i], 0.02 * exact[i])
            << c10::toString(dtype) << ", " << kind_name(kind) << ", record " << i;
      }
    }
  }
}

// Each step is a 40th of the distance of two bfloat16, so rounding to nearest would never move.
TEST(SmallMoments, steps_below_the_last_place_add_up) {
  for (const Moments kind : kKinds) {
    const at::Tensor w = at::full({10000}, 1.5, at::kBFloat16);
    AdamWOptions options = options_with(kind);
    options.clip = 0;
    options.groups = {ParameterGroup()};
    AdamW optimizer({{"w", w}}, options);
    for (int t = 0; t < 200; ++t) {
      tensor::gradient_of(w).fill_(1.0);
      optimizer.step(0x1p-7 / 40);
    }
    // 200 roundings of 10000 entries: the mean's deviation is below 0.5 · 2^-7 sqrt(200) / 100,
    // and 2.2e-3 is four of them. Five places down.
    EXPECT_NEAR(w.to(at::kFloat).mean().item<double>(), 1.5 - 5 * 0x1p-7, 2.2e-3)
        << kind_name(kind);
  }
}

std::vector<at::Tensor> state_after(const std::vector<at::Tensor>& gradients, at::ScalarType dtype,
                                    Moments kind, size_t stop) {
  // Without clipping, because the norm of the gradient depends on the number of threads.
  AdamWOptions options = options_with(kind);
  options.clip = 0;
  const auto make = [&](const at::Tensor& w) { return AdamW({{"w", w}}, options); };
  at::Tensor w = gradients[0].clone().to(dtype);
  AdamW optimizer = make(w);
  const auto take = [&](AdamW& with, const at::Tensor& on, size_t first, size_t last) {
    for (size_t t = first; t < last; ++t) {
      tensor::gradient_of(on).copy_(gradients[t]);
      with.step(1e-2);
    }
  };
  take(optimizer, w, 0, stop);
  const at::Tensor resumed = w.clone();
  AdamW again = make(resumed);
  const auto from = optimizer.state(), to = again.state();
  for (size_t i = 0; i < from.size(); ++i) to[i].second.copy_(from[i].second);
  take(again, resumed, stop, gradients.size());
  std::vector<at::Tensor> tensors = {resumed};
  for (const auto& [name, tensor] : to) tensors.push_back(tensor);
  return tensors;
}

TEST(SmallMoments, resume_to_the_same_bits_on_any_number_of_threads) {
  std::vector<at::Tensor> gradients;
  for (int t = 0; t < 8; ++t) gradients.push_back(at::randn({137, 301}));
  const int threads_before = thread_count();
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const Moments kind : kKinds) {
      set_thread_count(1);
      const auto expected = state_after(gradients, dtype, kind, gradients.size());
      for (const int threads : {1, 2, 3}) {
        set_thread_count(threads);
        for (const size_t stop : {0u, 1u, 5u}) {
          const auto found = state_after(gradients, dtype, kind, stop);
          ASSERT_EQ(found.size(), expected.size());
          for (size_t i = 0; i < found.size(); ++i) {
            EXPECT_TRUE(found[i].equal(expected[i]))
                << c10::toString(dtype) << " " << kind_name(kind) << " " << threads << " " << stop;
          }
        }
      }
    }
  }
  set_thread_count(threads_before);
}

}  // namespace
}  // namespace twofour::train
