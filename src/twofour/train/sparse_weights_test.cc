#include "twofour/train/sparse_weights.h"

#include <regex>

#include <gtest/gtest.h>

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include "twofour/kernels/masks/mask.h"
#include "twofour/sparse/pattern.h"
#include "twofour/sparse/soft_threshold.h"
#include "twofour/tensor/accumulate.h"
#include "twofour/train/train_testing.h"

namespace twofour::train {
namespace {

constexpr at::ScalarType kDtypes[] = {at::kFloat, at::kBFloat16, at::kHalf};

at::Tensor magnitude_mask(const at::Tensor& weight) {
  at::Tensor mask = at::empty(weight.sizes(), at::kByte);
  kernels::magnitude_mask(weight.const_data_ptr<float>(), weight.size(0), weight.size(1),
                          weight.size(1), 2, 4, mask.mutable_data_ptr<uint8_t>());
  return mask;
}

at::Tensor transposable_mask(const at::Tensor& weight) {
  at::Tensor mask = at::empty(weight.sizes(), at::kByte);
  kernels::transposable_mask24(weight.const_data_ptr<float>(), weight.size(0), weight.size(1),
                               weight.size(1), mask.mutable_data_ptr<uint8_t>());
  return mask;
}

at::Tensor masked(const at::Tensor& weight, const at::Tensor& mask) {
  return at::where(mask.to(at::kBool), weight.detach(), at::zeros_like(weight.detach()));
}

TEST(SparseWeights, are_their_definition_in_every_dtype_and_step) {
  for (const at::ScalarType dtype : kDtypes) {
    for (const auto kind :
         {ForwardWeight::kMagnitude, ForwardWeight::kTransposable, ForwardWeight::kSoft}) {
      SparseModel it(method_of(kind), dtype);
      const double scale = sparse::soft_threshold_scale(it.master());
      for (int64_t step = 0; step < 3; ++step) {
        if (step > 0) it.move(0.02);
        it.weights.prepare(step, true);
        const bool is_transposable = kind == ForwardWeight::kTransposable;
        const at::Tensor mask =
            is_transposable ? transposable_mask(it.master()) : magnitude_mask(it.master());
        EXPECT_TRUE(it.mask().equal(mask)) << step;
        at::Tensor expected = masked(it.master(), mask).to(dtype);
        if (kind == ForwardWeight::kSoft) {
          at::Tensor bits = at::zeros({mask.numel() / 8}, at::kByte);
          sparse::soft_threshold24(it.master().detach(), scale, expected, bits);
        }
        EXPECT_EQ(it.used().scalar_type(), dtype);
        EXPECT_TRUE(it.used().equal(expected)) << step;
        EXPECT_EQ(sparse::violations24(it.used()), 0);
        if (is_transposable) {
          EXPECT_EQ(sparse::violations24(it.used().t().contiguous()), 0);
        }
      }
    }
  }
}

// The loss of a diverged run must show it.
TEST(SparseWeights, keep_a_nan_of_the_master_and_are_2_4_all_the_same) {
  for (const at::ScalarType dtype : kDtypes) {
    for (const auto kind :
         {ForwardWeight::kMagnitude, ForwardWeight::kTransposable, ForwardWeight::kSoft}) {
      for (const int64_t columns : {1, 16}) {
        SparseModel it(method_of(kind), dtype);
        it.master().detach().slice(1, 0, columns).fill_(NAN);
        it.weights.prepare(1, true);
        EXPECT_TRUE(it.used().isnan().any().item<bool>()) << static_cast<int>(kind);
        EXPECT_EQ(sparse::violations24(it.used()), 0) << static_cast<int>(kind);
      }
    }
  }
}

TEST(SparseWeights, the_other_layers_are_dense_and_of_the_compute_dtype) {
  for (const at::ScalarType dtype : kDtypes) {
    for (const Method& method : methods()) {
      SparseModel it(method, dtype);
      it.move(0.02);
      it.weights.prepare(1, method.is_sparse());
      it.model.visit_linears([&](const std::string& name, model::Linear& layer) {
        const bool is_sparse = method.is_sparse() && name.find(".mlp.") != std::string::npos;
        const at::Tensor used =
            layer.forward_weight.defined() ? layer.forward_weight : layer.weight;
        EXPECT_EQ(used.equal(layer.weight.to(dtype)), !is_sparse) << method.name << " " << name;
        EXPECT_EQ(layer.weight24 != nullptr, is_sparse) << method.name << " " << name;
        const bool is_mvue = method.weight_gradient == sparse::WeightGradient::kMvue;
        EXPECT_EQ(layer.weight_gradient == sparse::WeightGradient::kMvue, is_sparse && is_mvue);
      });
    }
  }
}

TEST(SparseWeights, values_are_fresh_every_step_while_masks_keep_their_age) {
  for (const auto kind : {ForwardWeight::kMagnitude, ForwardWeight::kTransposable}) {
    Method method = method_of(kind);
    method.mask_interval = 40;
    SparseModel it(method);
    it.weights.prepare(0, true);
    at::Tensor mask = it.mask();
    for (int64_t updates = 1; updates <= 80; ++updates) {
      it.move(0.01);
      it.weights.prepare(updates, true);
      const bool is_searched = !it.mask().equal(mask);
      EXPECT_EQ(is_searched, updates % 40 == 0) << updates;
      mask = it.mask();
      EXPECT_TRUE(it.used().equal(masked(it.master(), mask))) << updates;
    }
  }
}

TEST(SparseWeights, with_interval_0_the_masks_of_the_start_stay) {
  for (const bool starts_dense : {false, true}) {
    Method method = method_of(ForwardWeight::kTransposable);
    method.mask_interval = 0;
    SparseModel it(method);
    const at::Tensor mask = transposable_mask(it.master());
    for (int64_t updates = 0; updates < 5; ++updates) {
      it.weights.prepare(updates, !starts_dense || updates > 2);
      EXPECT_TRUE(it.mask().equal(mask));
      it.move(0.05);
    }
  }
}

TEST(SparseWeights, the_first_sparse_step_searches_whatever_the_interval) {
  Method method = method_of(ForwardWeight::kTransposable);
  method.mask_interval = 40;
  SparseModel it(method);
  for (int64_t updates = 0; updates < 7; ++updates) {
    it.weights.prepare(updates, updates >= 5);
    const bool is_fresh = updates == 0 || updates == 5;
    EXPECT_EQ(it.mask().equal(transposable_mask(it.master())), is_fresh) << updates;
    it.move(0.05);
  }
}

TEST(SparseWeights, a_dense_phase_is_plain_training) {
  for (const at::ScalarType dtype : kDtypes) {
    Method method = method_named("fst");
    method.precision = sparse::Precision::kNative;
    SparseModel it(method, dtype);
    it.weights.prepare(0, true);
    it.move(0.02);
    it.weights.prepare(1, false);
    EXPECT_TRUE(it.used().equal(it.master().to(dtype)));
    EXPECT_EQ(it.layer().weight_gradient, sparse::WeightGradient::kExact);
    EXPECT_EQ(it.layer().weight24, nullptr);
    EXPECT_EQ(it.weights.statistics().zeros, 0.0);
    EXPECT_TRUE(it.weights.masks().empty());
    const at::Tensor before = it.master().clone();
    it.weights.decay_gradients(1e6);
    it.weights.decay_weights(1e6);
    it.weights.replace_masters();
    EXPECT_TRUE(it.master().equal(before));
    const at::Tensor& gradient = tensor::gradient_of(it.master());
    EXPECT_EQ(gradient.abs().max().item<double>(), 0.0);
  }
}

TEST(SparseWeights, the_scale_is_frozen_after_initialisation) {
  SparseModel it(method_named("s-ste"));
  const double scale =
      tensor_of(it.state(), "sparsity/transformer.h.0.mlp.c_fc.weight.scale").item<double>();
  EXPECT_NEAR(scale, 1.484, 0.1) << "Gaussian weights, METHODS section 3";
  it.master().mul_(3.0).add_(0.5);
  it.weights.prepare(1, true);
  EXPECT_EQ(it.weights.state().at(1).second.item<double>(), scale);
}

TEST(SparseWeights, the_saved_model_holds_the_forward_weights_in_float32) {
  for (const at::ScalarType dtype : kDtypes) {
    for (const char* name : {"ste", "fst", "s-ste"}) {
      SparseModel it(method_named(name), dtype);
      it.move(0.02);
      it.weights.prepare(1, true);  // fst's masks, from the start
      const at::Tensor before = it.master().clone(), used = it.used().clone();
      it.weights.replace_masters();
      EXPECT_EQ(it.master().scalar_type(), at::kFloat);
      EXPECT_TRUE(it.master().to(dtype).equal(used)) << name;
      if (std::string(name) != "s-ste") {
        EXPECT_TRUE(it.master().equal(masked(before, it.mask())));
      }
      ASSERT_EQ(it.weights.masks().size(), 4u);
      EXPECT_TRUE(it.weights.masks()[0].second.equal(it.weights.state()[0].second));
    }
  }
}

TEST(SparseWeights, refuse_a_pattern_that_finds_nothing_or_what_cannot_be_sparse) {
  model::Model model = small_model();
  Method method = method_named("ste");
  const auto make = [&](const std::string& pattern) {
    method.layers = pattern;
    SparseWeights(model, method, at::kFloat, 1);
  };
  EXPECT_THAT_ERROR(make("mlp["), "--sparse-layers: the regular expression \"mlp[\"");
  EXPECT_THAT_ERROR(make("h[.]7[.]"),
                    "matches no layer: their weights are named as \"transformer.h");
  make("c_attn|c_proj");
  model::linear_named(model, kLaterLayer).weight = at::zeros({6, 16}).requires_grad_();
  make(".");
  method.forward_weight = ForwardWeight::kTransposable;
  EXPECT_THAT_ERROR(make("."), "\"transformer.h.1.mlp.c_fc.weight\" has 6 outputs");
  model::linear_named(model, kLaterLayer).weight = at::zeros({8, 10}).requires_grad_();
  EXPECT_THAT_ERROR(make("."), "\"transformer.h.1.mlp.c_fc.weight\" has 10 inputs");
  make("h[.]0[.]attn");
}

TEST(SparseWeights, the_default_layers_are_the_feed_forward_ones_of_every_architecture) {
  for (const model::Architecture& architecture : model::architectures()) {
    const nlohmann::json json = {{"model_type", architecture.model_type}};
    model::ConfigReader reader(json, "");
    model::Model shapes = model::make_shapes(architecture.read(reader));
    int64_t chosen = 0;
    shapes.visit_linears([&](const std::string& name, model::Linear&) {
      const bool is_chosen = std::regex_search(name, std::regex(kFeedForwardLayers));
      const bool is_attention =
          name.find("attn") != std::string::npos || name.find(".attention.") != std::string::npos;
      EXPECT_NE(is_chosen, is_attention) << name;
      chosen += is_chosen;
    });
    EXPECT_GE(chosen, 2 * shapes.layers()) << architecture.model_type;
  }
}

TEST(SparseWeights, given_masks_stay_and_run_on_2_4_kernels_where_they_are_2_4) {
  Method method = method_of(ForwardWeight::kFixed);
  model::Model model = small_model();
  const at::Tensor two_of_four = at::full({64 * 16 / 8}, 0x66, at::kByte);    // 0110 0110
  const at::Tensor three_of_four = at::full({64 * 16 / 8}, 0xEE, at::kByte);  // 1110 1110
  SparseWeights weights(model, method, at::kFloat, 1,
                        {{kFirstLayer, two_of_four}, {kLaterLayer, three_of_four}});
  weights.initialise();
  weights.prepare(0, true);
  EXPECT_NE(model::linear_named(model, kFirstLayer).weight24, nullptr);
  const model::Linear& later = model::linear_named(model, kLaterLayer);
  EXPECT_EQ(later.weight24, nullptr);
  EXPECT_TRUE(later.forward_weight.select(1, 3).eq(0).all().item<bool>());
  EXPECT_TRUE(later.forward_weight.select(1, 2).equal(later.weight.select(1, 2)));
  later.weight.detach().neg_();
  weights.prepare(1, true);
  EXPECT_TRUE(later.forward_weight.select(1, 2).equal(later.weight.select(1, 2)));
  EXPECT_EQ(weights.statistics().flip_rate, 0);
  EXPECT_THAT_ERROR(SparseWeights(model, method, at::kFloat, 1), "no mask belongs to a layer");
}

}  // namespace
}  // namespace twofour::train
