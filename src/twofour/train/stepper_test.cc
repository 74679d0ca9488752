#include "twofour/train/stepper.h"

#include <cmath>
#include <limits>
#include <regex>

#include <gtest/gtest.h>

#include "twofour/base/parallel.h"
#include "twofour/tensor/tensor_testing.h"
#include "twofour/train/pretraining.h"
#include "twofour/train/train_testing.h"

namespace twofour::train {
namespace {

using Names = std::vector<std::string>;

// Tokens without structure; if `repeats`, with the same ids in every window.
text::TokenFile tokens_in(const testing::TemporaryFolder& folder, bool repeats) {
  const int64_t windows = 40, context = small_sizes().context;
  return token_file(folder, windows * context + 1, [&](size_t i) {
    const size_t place = repeats ? i % static_cast<size_t>(context) : i;
    return (place * place * 7 + place / 5) % 19;
  });
}

struct SmallRun {
  explicit SmallRun(TrainOptions run_options, bool repeats = false)
      : options(std::move(run_options)),
        data(tokens_in(folder, repeats)),
        ranks(tensor::single_rank()),
        trained(options),
        stepper(options, trained, data, *ranks) {
    options.run.out = folder / "run";
    set_thread_count(1);  // two would mostly wait for each other beside other tests
    trained.initialise();
    stepper.prepare(0);
  }
  Snapshot state() { return snapshot(stepper.state()); }
  at::Tensor live(const std::string& name) {
    for (const auto& [file, tensors] : stepper.state()) {
      for (const auto& [key, tensor] : tensors) {
        if (file + "/" + key == name) return tensor;
      }
    }
    ADD_FAILURE() << "no tensor " << name;
    return {};
  }

  testing::TemporaryFolder folder;
  TrainOptions options;
  text::TokenFile data;
  std::unique_ptr<tensor::Ranks> ranks;
  Pretraining trained;
  Stepper stepper;
};

constexpr char kScale[] = "schedule.safetensors/loss_scale";

// AdamW's last gradient with β1 = 0, by weight name.
at::Tensor gradient_of(const Snapshot& state, const std::string& weight) {
  return tensor_of(state, "optimizer.safetensors/exp_avg.transformer.h.0." + weight);
}

// A run with constant weights, so that its gradients can be compared.
TrainOptions still_run(const Method& method) {
  TrainOptions options = small_run(method);
  options.optimizer.learning_rate = options.optimizer.min_learning_rate = 0;
  options.optimizer.beta1 = 0;
  options.optimizer.clip = 0;
  return options;
}

TEST(Stepper, a_skipped_step_only_halves_the_loss_scale) {
  for (const Method& method : methods()) {
    for (const char* dtype : {"float32", "bfloat16", "float16"}) {
      TrainOptions options = small_run(method, dtype);
      options.optimizer.loss_scale = 256;
      SmallRun run(options);
      for (int64_t step = 0; step < 2; ++step) {
        EXPECT_FALSE(run.stepper.take(step).was_skipped) << method.name << " " << dtype;
      }
      run.live(kScale)[0] = 0x1p126;
      const Snapshot before = run.state();
      const StepResult result = run.stepper.take(2);
      EXPECT_TRUE(result.was_skipped);
      EXPECT_FALSE(std::isfinite(result.gradient_norm));
      EXPECT_FALSE(run.stepper.is_worth_saving());
      EXPECT_EQ(differences(run.state(), before), Names{kScale}) << method.name << " " << dtype;
      EXPECT_EQ(run.stepper.loss_scale(), 0x1p125);
      EXPECT_EQ(run.live(kScale)[1].item<double>(), 0.0);
      run.live(kScale)[0] = 256;
      EXPECT_FALSE(run.stepper.take(3).was_skipped) << "no gradient is left over";
      EXPECT_TRUE(run.stepper.is_worth_saving());
      EXPECT_EQ(tensor_of(run.state(), "optimizer.safetensors/counters")[0].item<int64_t>(), 3);
    }
  }
}

// The phase depends on the step's number: skipped steps do not delay it.
TEST(Stepper, phases_change_at_their_step_even_where_steps_are_skipped) {
  Method method = method_named("fst");
  method.dense_start = 3;
  method.dense_end = 4;
  TrainOptions options = small_run(method);
  options.optimizer.loss_scale = 1;
  SmallRun run(options);
  for (int64_t step = 0; step < 10; ++step) {
    const bool skips = step == 2 || step == 5;
    run.live(kScale)[0] = skips ? 0x1p126 : 1.0;
    const StepResult result = run.stepper.take(step);
    EXPECT_EQ(result.was_skipped, skips);
    EXPECT_EQ(result.is_sparse, step >= 3 && step < 6) << step;
    EXPECT_EQ(run.trained.weights().masks().empty(), !(step + 1 >= 3 && step + 1 < 6)) << step;
  }
}

TEST(Stepper, auto_switch_is_not_late_where_the_loss_is_not_finite) {
  TrainOptions options = small_run(method_named("step"));
  options.optimizer.loss_scale = 1024;
  SmallRun run(options);
  for (int64_t step = 0; step < 4; ++step) run.stepper.take(step);
  const at::Tensor embedding = run.live("model.safetensors/transformer.wte.weight");
  const at::Tensor good = embedding.clone();
  embedding.fill_(std::numeric_limits<float>::quiet_NaN());
  EXPECT_TRUE(run.stepper.take(4).was_skipped);
  embedding.copy_(good);
  EXPECT_TRUE(run.stepper.take(5).is_sparse) << "half of ten steps is the latest";
}

TEST(Stepper, a_second_moment_of_zeros_is_never_frozen) {
  Method method = method_named("ste");
  method.dense_start = 1;
  method.second_moment = SecondMoment::kFreeze;
  TrainOptions options = small_run(method);
  options.optimizer.loss_scale = 0x1p126;
  SmallRun run(options);
  EXPECT_TRUE(run.stepper.take(0).was_skipped) << "all of the dense start";
  run.live(kScale)[0] = 1.0;
  for (int64_t step = 1; step < 4; ++step) {
    const StepResult result = run.stepper.take(step);
    EXPECT_FALSE(result.was_skipped);
    EXPECT_TRUE(std::isfinite(result.loss)) << step;
  }
  const auto counters = tensor_of(run.state(), "optimizer.safetensors/counters");
  EXPECT_EQ(counters[1].item<int64_t>(), 1) << "frozen after the first update";
}

TEST(Stepper, step_freezes_the_second_moment_at_the_switch) {
  const std::string moment = "optimizer.safetensors/exp_avg_sq.transformer.";
  for (const Freeze freeze : {Freeze::kMasked, Freeze::kAll}) {
    Method method = method_named("step");
    method.freeze = freeze;
    SmallRun run(small_run(method));
    Snapshot frozen;
    for (int64_t step = 0; step < 10; ++step) {
      const bool is_sparse = run.stepper.take(step).is_sparse;
      EXPECT_EQ(is_sparse, step >= 5) << "a change of 1e-8 is not reached";
      if (step == 4) frozen = run.state();
      if (step <= 4) continue;
      const Snapshot now = run.state();
      for (const char* name : {"h.0.mlp.c_fc.weight", "h.1.mlp.c_proj.weight", "h.0.mlp.c_fc.bias",
                               "h.0.attn.c_attn.weight", "wte.weight", "ln_f.weight"}) {
        const bool freezes =
            freeze == Freeze::kAll || std::regex_search(name, std::regex("mlp.*weight"));
        EXPECT_EQ(tensor_of(now, moment + name).equal(tensor_of(frozen, moment + name)), freezes)
            << step << " " << name;
      }
    }
  }
}

TEST(Stepper, mvue_draws_other_numbers_for_each_micro_batch_and_step) {
  for (const bool is_mvue : {false, true}) {
    Method method = method_named("s-ste");
    if (!is_mvue) method.weight_gradient = sparse::WeightGradient::kExact;
    TrainOptions options = still_run(method);
    SmallRun single(options, /*repeats=*/true);
    options.data.accumulate = 2;
    SmallRun twice(options, /*repeats=*/true);
    single.stepper.take(0);
    twice.stepper.take(0);
    const Snapshot first = single.state(), both = twice.state();
    single.stepper.take(1);
    const Snapshot second = single.state();
    for (const char* weight : {"mlp.c_fc.weight", "mlp.c_proj.weight", "attn.c_attn.weight"}) {
      // With equal data, only the random numbers can differ.
      const bool differs = is_mvue && std::string(weight).starts_with("mlp");
      const at::Tensor one = gradient_of(first, weight);
      const at::Tensor other = gradient_of(both, weight).mul(2).sub(one);  // second micro-batch
      const at::Tensor next = gradient_of(second, weight);
      EXPECT_EQ(tensor::relative_difference(other, one) > 1e-2, differs) << weight;
      EXPECT_EQ(tensor::relative_difference(next, one) > 1e-2, differs) << weight;
      EXPECT_EQ(tensor::relative_difference(next, other) > 1e-2, differs) << weight;
    }
  }
}

TEST(Stepper, a_step_repeated_from_the_same_state_is_the_same_bit_for_bit) {
  for (const Method& method : methods()) {
    for (const char* dtype : {"float32", "bfloat16", "float16"}) {
      TrainOptions options = small_run(method, dtype);
      options.data.accumulate = 2;
      SmallRun run(options), again(options);
      for (int64_t step = 0; step < 5; ++step) run.stepper.take(step);
      const Snapshot saved = run.state();
      restore(saved, again.stepper.state());
      again.stepper.prepare(5);
      EXPECT_EQ(differences(again.state(), saved), Names()) << method.name << " " << dtype;
      for (int64_t step = 5; step < 9; ++step) {
        const StepResult a = run.stepper.take(step), b = again.stepper.take(step);
        EXPECT_EQ(a.loss, b.loss);
        EXPECT_EQ(a.gradient_norm, b.gradient_norm);
        ASSERT_EQ(differences(run.state(), again.state()), Names())
            << method.name << " " << dtype << " " << step;
      }
    }
  }
}

TEST(Stepper, accumulated_micro_batches_have_the_loss_and_gradients_of_one_batch) {
  for (const char* name : {"dense", "ste", "fst"}) {
    Method method = method_named(name);
    method.weight_gradient = sparse::WeightGradient::kExact;
    TrainOptions options = still_run(method);
    options.data.batch = 4;
    SmallRun whole(options);
    options.data.batch = 2;
    options.data.accumulate = 2;
    SmallRun parts(options);
    for (int64_t step = 0; step < 3; ++step) {
      const StepResult a = whole.stepper.take(step), b = parts.stepper.take(step);
      EXPECT_NEAR(a.loss, b.loss, 1e-6);
      EXPECT_NEAR(a.gradient_norm, b.gradient_norm, 1e-5 * a.gradient_norm);
      const Snapshot expected = whole.state(), is = parts.state();
      for (size_t i = 0; i < is.size(); ++i) {
        if (is[i].first.find("exp_avg.") == std::string::npos) continue;
        EXPECT_LT(tensor::relative_difference(is[i].second, expected[i].second), 1e-4)
            << name << " " << is[i].first;
      }
    }
  }
}

TEST(Stepper, a_loss_scale_in_float32_changes_no_bit) {
  for (const char* name : {"sr-ste", "fst", "step", "s-ste"}) {
    TrainOptions options = small_run(method_named(name));
    SmallRun plain(options);
    options.optimizer.loss_scale = 4096;
    options.optimizer.loss_scale_growth = 3;
    SmallRun scaled(options);
    for (int64_t step = 0; step < 10; ++step) {
      const StepResult a = plain.stepper.take(step), b = scaled.stepper.take(step);
      EXPECT_EQ(a.loss, b.loss);
      EXPECT_EQ(a.gradient_norm, b.gradient_norm);
    }
    EXPECT_EQ(differences(plain.state(), scaled.state()), Names{kScale}) << name;
    EXPECT_EQ(scaled.stepper.loss_scale(), 4096 * 8);
  }
}

TEST(Stepper, says_why_a_run_diverges_and_what_to_try) {
  TrainOptions options = small_run(method_named("ste"));
  SmallRun run(options);
  run.stepper.take(0);
  run.live("model.safetensors/transformer.wte.weight").fill_(std::nanf(""));
  const Snapshot before = run.state();
  EXPECT_THAT_ERROR(run.stepper.take(1), "the loss is nan at step 2: the run diverges");
  EXPECT_THAT_ERROR(run.stepper.take(1), "there is no checkpoint yet; try a lower --lr");
  Names changed = differences(run.state(), before);
  EXPECT_EQ(changed, Names{"model.safetensors/transformer.wte.weight"}) << "NaN equals nothing";
}

// One of two ranks, of which the other has the same values.
class Twin final : public tensor::Ranks {
 public:
  int64_t rank() const override { return 0; }
  int64_t size() const override { return 2; }
  void sum(at::Tensor& values) override { values.mul_(2); }
  void broadcast(at::Tensor&, int64_t) override {}
  std::vector<at::Tensor> gather(const at::Tensor& values) override { return {values, values}; }
  void barrier() override {}
};

TEST(Stepper, two_ranks_with_equal_windows_step_as_one) {
  const TrainOptions options = small_run(method_named("dense"));
  SmallRun alone(options, /*repeats=*/true);
  Twin twin;
  Pretraining trained(alone.options);
  Stepper together(alone.options, trained, alone.data, twin);
  trained.initialise();
  together.prepare(0);
  for (int64_t step = 0; step < 3; ++step) {
    const StepResult one = alone.stepper.take(step), two = together.take(step);
    EXPECT_EQ(one.loss, two.loss);
    EXPECT_EQ(one.gradient_norm, two.gradient_norm);
  }
  EXPECT_TRUE(differences(alone.state(), snapshot(together.state())).empty());
}

}  // namespace
}  // namespace twofour::train
