#include "twofour/train/sparse_weights.h"

#include <cmath>

#include <gtest/gtest.h>

#include <ATen/ops/count_nonzero.h>

#include "twofour/sparse/pattern.h"

#include "testing.h"

namespace twofour::train {
namespace {

model::Gpt2 small_model(uint64_t seed = 1) {
  model::Gpt2Config config;
  config.vocabulary = 19;
  config.context = 8;
  config.width = 16;
  config.layers = 2;
  config.heads = 2;
  config.feed_forward = 64;
  return model::make_gpt2(config, seed);
}

TEST(SparseWeights, s_ste_makes_the_feed_forward_layers_2_4_and_no_others) {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    model::Gpt2 model = small_model();
    SparseWeights weights(model, method_named("s-ste"), dtype, 1);
    weights.initialise();
    weights.prepare(0, true);
    const SparsityStatistics statistics = weights.statistics();
    EXPECT_EQ(statistics.flip_rate, 0.0) << "nothing has changed since the start";
    EXPECT_GE(statistics.zeros, 0.5);
    model.visit_linears([&](const std::string& name, model::Linear& layer) {
      const bool is_sparse = name.find(".mlp.") != std::string::npos;
      const at::Tensor used = layer.forward_weight.defined() ? layer.forward_weight : layer.weight;
      EXPECT_EQ(used.scalar_type(), dtype) << name;
      EXPECT_EQ(sparse::violations24(used.to(at::kFloat)) == 0, is_sparse) << name;
      EXPECT_EQ(layer.weight_gradient == sparse::WeightGradient::kMvue, is_sparse) << name;
    });
  }
}

TEST(SparseWeights, the_scale_is_frozen_after_initialisation) {
  model::Gpt2 model = small_model();
  SparseWeights weights(model, method_named("s-ste"), at::kFloat, 1);
  weights.initialise();
  const auto before = weights.state();
  const double scale = before.at(1).second.item<double>();
  EXPECT_NEAR(scale, 1.484, 0.1) << "Gaussian weights, METHODS section 3";
  model.h[0].mlp_c_fc.weight.mul_(3.0).add_(0.5);
  weights.prepare(1, true);
  EXPECT_EQ(weights.state().at(1).second.item<double>(), scale);
}

TEST(SparseWeights, the_flip_rate_is_the_share_of_mask_entries_that_changed) {
  model::Gpt2 model = small_model();
  SparseWeights weights(model, method_named("s-ste"), at::kFloat, 1);
  weights.initialise();
  weights.prepare(0, true);
  // In one group the smallest magnitude becomes the largest: two entries of all change.
  at::Tensor& weight = model.h[0].mlp_c_fc.weight;
  float* group = weight.mutable_data_ptr<float>();
  int smallest = 0;
  for (int i = 1; i < 4; ++i) {
    if (std::fabs(group[i]) < std::fabs(group[smallest])) smallest = i;
  }
  group[smallest] = 10.0f;
  const double entries = 2.0 * 2 * 16 * 64;
  weights.prepare(1, true);
  EXPECT_DOUBLE_EQ(weights.statistics().flip_rate, 2.0 / entries);
  weights.prepare(2, true);
  EXPECT_EQ(weights.statistics().flip_rate, 0.0);
}

TEST(SparseWeights, dense_methods_use_the_masters_or_their_copy) {
  model::Gpt2 model = small_model();
  SparseWeights weights(model, method_named("dense"), at::kBFloat16, 1);
  weights.initialise();
  weights.prepare(0, false);
  EXPECT_TRUE(weights.state().empty());
  model.visit_linears([](const std::string& name, model::Linear& layer) {
    EXPECT_TRUE(layer.forward_weight.equal(layer.weight.to(at::kBFloat16))) << name;
  });
}

TEST(Methods, an_unknown_name_lists_the_known_ones) {
  EXPECT_THAT_ERROR(method_named("sste"), "choose one of dense, half, ste, sr-ste, step, fst, s-ste");
  EXPECT_EQ(method_named("half").feed_forward_share, 0.5);
}

}  // namespace
}  // namespace twofour::train
