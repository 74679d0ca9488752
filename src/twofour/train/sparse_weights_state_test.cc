// The state of SparseWeights between steps: masks for a resumed run, their decay, and their flips.
#include <cmath>

#include <gtest/gtest.h>

#include <ATen/ops/ones_like.h>

#include "twofour/tensor/accumulate.h"
#include "twofour/tensor/tensor_testing.h"
#include "twofour/train/sparse_weights.h"
#include "twofour/train/train_testing.h"

namespace twofour::train {
namespace {

constexpr double kEntries = 2.0 * 2 * 16 * 64;  // of the four feed-forward weights

Method with_interval(const std::string& name, int64_t interval) {
  Method method = method_named(name);
  method.mask_interval = interval;
  return method;
}

void copy_masters(SparseModel& from, SparseModel& to) {
  std::vector<at::Tensor> masters;
  from.model.visit([&](const std::string&, at::Tensor& tensor) { masters.push_back(tensor); });
  size_t next = 0;
  to.model.visit([&](const std::string&, at::Tensor& tensor) { tensor.copy_(masters[next++]); });
}

// The phases of 14 updates: dense, sparse, dense again; one update at the switch was skipped.
bool is_sparse_at(int64_t step) { return step >= 3 && step < 11; }
int64_t updates_at(int64_t step) { return step < 3 ? step : step - 1; }

TEST(SparseWeights, a_resumed_run_begins_with_a_call_that_changes_nothing) {
  for (const char* name : {"ste", "fst", "s-ste"}) {
    for (const int64_t interval : {1, 0, 5, 40}) {
      if (std::string(name) == "s-ste" && interval != 1) continue;
      const Method method = with_interval(name, interval);
      SparseModel whole(method);
      for (int64_t step = 0; step < 14; ++step) {
        whole.weights.prepare(updates_at(step), is_sparse_at(step));
        const Snapshot saved = whole.state();
        SparseModel resumed(method);
        copy_masters(whole, resumed);
        restore(saved, {{"sparsity", resumed.weights.state()}});
        for (SparseModel* it : {&whole, &resumed, &whole}) {
          it->weights.prepare(updates_at(step), is_sparse_at(step));
          EXPECT_EQ(differences(it->state(), saved), std::vector<std::string>())
              << name << " interval " << interval << " step " << step;
        }
        EXPECT_TRUE(resumed.used().equal(whole.used())) << name << " " << interval << " " << step;
        EXPECT_EQ(resumed.weights.statistics().flip_rate, whole.weights.statistics().flip_rate);
        EXPECT_EQ(resumed.weights.statistics().zeros, whole.weights.statistics().zeros);
        whole.move(0.05);
      }
    }
  }
}

TEST(SparseWeights, decay_never_touches_a_kept_weight) {
  for (const char* name : {"ste", "fst", "s-ste"}) {
    for (const DecayOn where : {DecayOn::kGradient, DecayOn::kWeight}) {
      Method method = method_named(name);
      method.decay = 0.01;
      method.decay_on = where;
      SparseModel it(method);
      it.weights.prepare(0, true);
      const at::Tensor before = it.master().clone(), dropped = it.mask().eq(0);
      at::Tensor& gradient = tensor::gradient_of(it.master());
      gradient.fill_(0.5);
      it.weights.decay_gradients(3.0);
      const bool is_on_gradient = where == DecayOn::kGradient;
      const at::Tensor decayed = before.mul(dropped).mul(0.01 * 3.0);
      const at::Tensor expected =
          is_on_gradient ? decayed.add(0.5) : at::ones_like(before).mul(0.5);
      EXPECT_LT(tensor::largest_difference(gradient, expected), 1e-7);
      EXPECT_TRUE(gradient.eq(0.5).logical_or(dropped).all().item<bool>()) << "bit for bit";
      it.weights.decay_weights(2.0);
      const at::Tensor left = is_on_gradient ? before : before.sub(before.mul(dropped), 2.0 * 0.01);
      EXPECT_LT(tensor::largest_difference(it.master(), left), 1e-8);
      EXPECT_TRUE(it.master().eq(before).logical_or(dropped).all().item<bool>()) << "bit for bit";
    }
  }
}

TEST(SparseWeights, decay_is_of_the_masked_layers_only) {
  SparseModel it(method_named("sr-ste"));
  it.weights.prepare(0, true);
  it.weights.decay_gradients(1e4);
  it.model.visit([](const std::string& name, at::Tensor& tensor) {
    const bool is_masked = name.find(".mlp.") != std::string::npos && tensor.dim() == 2;
    const double largest = tensor::gradient_of(tensor).abs().max().item<double>();
    EXPECT_EQ(largest > 0, is_masked) << name;
  });
}

// In one group the smallest magnitude becomes the largest, which changes two of all entries.
void flip_one_group(at::Tensor& weight) {
  float* group = weight.mutable_data_ptr<float>();
  int smallest = 0;
  for (int i = 1; i < 4; ++i) {
    if (std::fabs(group[i]) < std::fabs(group[smallest])) smallest = i;
  }
  group[smallest] = 10.0f;
}

TEST(SparseWeights, the_flip_rate_is_the_share_of_mask_entries_that_changed) {
  for (const char* name : {"ste", "s-ste"}) {
    for (const bool is_dense_phase : {false, true}) {
      SparseModel it(method_named(name));
      it.weights.prepare(0, !is_dense_phase);
      EXPECT_EQ(it.weights.statistics().flip_rate, 0.0) << "nothing has changed since the start";
      flip_one_group(it.master());
      it.weights.prepare(1, !is_dense_phase);
      EXPECT_DOUBLE_EQ(it.weights.statistics().flip_rate, 2.0 / kEntries) << name;
      it.weights.prepare(2, !is_dense_phase);
      EXPECT_EQ(it.weights.statistics().flip_rate, 0.0);
    }
  }
}

TEST(SparseWeights, the_flip_rate_is_a_step_s_share_of_the_interval) {
  SparseModel it(with_interval("ste", 10));
  it.weights.prepare(0, true);
  flip_one_group(it.master());
  for (int64_t updates = 1; updates < 25; ++updates) {
    it.weights.prepare(updates, true);
    const double expected = updates < 10 || updates >= 20 ? 0.0 : 2.0 / kEntries / 10;
    EXPECT_DOUBLE_EQ(it.weights.statistics().flip_rate, expected) << updates;
  }
}

TEST(SparseWeights, the_first_search_of_a_late_sparse_phase_covers_the_steps_since_the_last) {
  SparseModel it(with_interval("ste", 40));
  it.weights.prepare(0, false);
  flip_one_group(it.master());
  for (int64_t updates = 1; updates < 9; ++updates) it.weights.prepare(updates, updates >= 8);
  EXPECT_DOUBLE_EQ(it.weights.statistics().flip_rate, 2.0 / kEntries / 8);
}

TEST(SparseWeights, the_layers_flip_rates_average_to_the_model_s) {
  for (const char* name : {"ste", "fst", "s-ste"}) {
    Method method = method_named(name);
    method.mask_interval = 1;
    method.layers = ".";  // layers of several sizes
    SparseModel it(method);
    it.weights.prepare(0, true);
    it.move(0.02);
    it.weights.prepare(1, true);
    double flips = 0, entries = 0, mlp = 0;
    const auto rates = it.weights.flip_rates();
    ASSERT_EQ(rates.size(), 8u);
    size_t next = 0;
    it.model.visit_linears([&](const std::string& layer, model::Linear& linear) {
      const auto& [key, rate] = rates[next++];
      EXPECT_EQ(key, layer);
      flips += rate * static_cast<double>(linear.weight.numel());
      entries += static_cast<double>(linear.weight.numel());
      EXPECT_EQ(rate > 0, layer.find(".mlp.") != std::string::npos) << "what moved";
      mlp += rate;
    });
    EXPECT_GT(mlp, 0.0);
    EXPECT_NEAR(it.weights.statistics().flip_rate, flips / entries, 1e-12) << name;
  }
}

TEST(SparseWeights, watched_masks_of_a_dense_run_flip_as_those_of_a_sparse_one) {
  const std::pair<WatchedMasks, const char*> kinds[] = {{WatchedMasks::kMagnitude, "ste"},
                                                        {WatchedMasks::kTransposable, "fst"}};
  for (const auto& [watched, name] : kinds) {
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      Method method;
      method.watched_masks = watched;
      method.mask_interval = 3;
      SparseModel dense(method, dtype), sparse(with_interval(name, 3), dtype);
      for (int64_t updates = 0; updates < 8; ++updates) {
        dense.weights.prepare(updates, false);
        sparse.weights.prepare(updates, true);
        EXPECT_TRUE(dense.mask().equal(sparse.mask()));
        EXPECT_EQ(dense.weights.flip_rates(), sparse.weights.flip_rates()) << updates;
        EXPECT_EQ(dense.weights.statistics().flip_rate > 0, updates >= 3);
        EXPECT_EQ(dense.weights.statistics().zeros, 0.0);
        EXPECT_TRUE(dense.used().equal(dense.master().to(dtype))) << "only watched";
        EXPECT_EQ(dense.layer().weight24, nullptr);
        EXPECT_TRUE(dense.weights.masks().empty());
        dense.move(0.05);
        copy_masters(dense, sparse);
      }
    }
  }
}

TEST(SparseWeights, without_masks_there_is_no_state) {
  for (const char* name : {"dense", "half"}) {
    SparseModel it(method_named(name), at::kBFloat16);
    it.weights.prepare(0, false);
    EXPECT_TRUE(it.weights.state().empty());
    EXPECT_TRUE(it.weights.flip_rates().empty());
    EXPECT_EQ(it.weights.statistics().flip_rate, 0.0);
  }
}

}  // namespace
}  // namespace twofour::train
