#include "twofour/model/model.h"

#include <algorithm>

#include <gtest/gtest.h>

#include <ATen/ops/allclose.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/topk.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "twofour/model/generate.h"
#include "twofour/model/loss.h"
#include "twofour/sparse/pattern.h"

#include "testing.h"

namespace twofour::model {
namespace {

ModelConfig small_llama() {
  LlamaConfig config;
  config.vocabulary = 97;
  config.context = 128;
  config.width = 64;
  config.layers = 2;
  config.heads = 4;
  config.key_value_heads = 2;
  config.head_width = 16;
  config.feed_forward = 96;
  return config;
}

ModelConfig small_gpt2() {
  Gpt2Config config;
  config.vocabulary = 97;
  config.context = 128;
  config.width = 64;
  config.layers = 2;
  config.heads = 4;
  config.feed_forward = 96;
  return config;
}

/// A random model with linears magnitude pruned to 2:4 (except `keep_dense`).
Model sparse_model(const ModelConfig& config, const std::string& keep_dense = "none") {
  Model model = make_random(config, 3);
  const at::NoGradGuard no_gradients;
  model.visit_linears([&](const std::string& name, Linear& linear) {
    if (linear.bias.defined()) linear.bias.copy_(linear.weight.select(1, 0)).mul_(30);
    if (name.find(keep_dense) != std::string::npos) return;
    linear.weight.mul_(20);  // makes the logits differ by more than rounding
    const at::Tensor groups = linear.weight.view({-1, 4});
    const at::Tensor smallest = std::get<1>(at::topk(groups.abs(), 2, 1, /*largest=*/false));
    groups.scatter_(1, smallest, 0);
  });
  return model;
}

std::vector<int64_t> greedy(const Model& model, int64_t prompt_length, int64_t tokens) {
  const at::Tensor prompt =
      at::randint(0, 97, {prompt_length}, at::TensorOptions().dtype(at::kLong));
  GenerateOptions options;
  options.temperature = 0;
  options.max_tokens = tokens;
  std::vector<int64_t> ids;
  generate(model, std::span(prompt.const_data_ptr<int64_t>(), static_cast<size_t>(prompt_length)),
           options, [&](int64_t id) {
             ids.push_back(id);
             return true;
           });
  return ids;
}

class Packing : public ::testing::TestWithParam<ModelConfig (*)()> {};

template <class Config>
Config of_small_sizes() {
  Config config;
  config.vocabulary = 97;
  config.context = 128;
  config.width = 64;
  config.layers = 2;
  config.heads = 4;
  config.feed_forward = 96;
  return config;
}

ModelConfig small_gpt_neox() {
  auto config = of_small_sizes<GptNeoXConfig>();
  config.rotary_width = 4;
  return config;
}

ModelConfig small_opt() {
  auto config = of_small_sizes<OptConfig>();
  config.embedding_width = 32;
  return config;
}

ModelConfig small_qwen3() {
  auto config = of_small_sizes<Qwen3Config>();
  config.key_value_heads = 2;
  config.head_width = 24;
  return config;
}

INSTANTIATE_TEST_SUITE_P(Models, Packing,
                         ::testing::Values(small_gpt2, small_llama, small_gpt_neox, small_opt,
                                           small_qwen3));

TEST_P(Packing, gives_the_dense_logits_for_one_token_and_for_many) {
  const at::NoGradGuard no_gradients;
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    Model dense = sparse_model(GetParam()()), packed = sparse_model(GetParam()());
    for (Model* model : {&dense, &packed}) {
      model->visit([&](const std::string&, at::Tensor& tensor) { tensor = tensor.to(dtype); });
    }
    const int64_t layers = keep_packed(packed, Pack::kAlways);
    EXPECT_GE(layers, 8);
    packed.visit_linears([](const std::string&, Linear& linear) {
      EXPECT_FALSE(linear.weight.defined());
      EXPECT_TRUE(linear.packed.values.defined());
    });
    for (const int64_t tokens : {1, 7, 64, 65, 128}) {
      const at::Tensor ids = at::randint(0, 97, {1, tokens}, at::TensorOptions().dtype(at::kLong));
      const at::Tensor expected = logits_of(dense.output(), hidden_of(dense, ids)).to(at::kFloat);
      const at::Tensor logits = logits_of(packed.output(), hidden_of(packed, ids)).to(at::kFloat);
      const double tolerance = dtype == at::kFloat ? 1e-4 : 0.05;
      EXPECT_TRUE(at::allclose(logits, expected, tolerance, tolerance * 10)) << tokens;
    }
  }
}

TEST_P(Packing, takes_half_of_the_memory_and_writes_the_same_text) {
  Model dense = sparse_model(GetParam()()), packed = sparse_model(GetParam()());
  int64_t dense_bytes = 0, packed_bytes = 0;
  dense.visit_linears([&](const std::string&, Linear& linear) {
    dense_bytes += static_cast<int64_t>(linear.weight.nbytes());
  });
  keep_packed(packed, Pack::kAlways);
  packed.visit_linears([&](const std::string&, Linear& linear) {
    packed_bytes +=
        static_cast<int64_t>(linear.packed.values.nbytes() + linear.packed.positions.nbytes());
  });
  EXPECT_EQ(packed_bytes * 32, dense_bytes * 17);  // 68 bits replace 128
  for (const int64_t prompt : {1, 5, 70}) {
    at::manual_seed(static_cast<uint64_t>(prompt));
    const auto expected = greedy(dense, prompt, 40);
    at::manual_seed(static_cast<uint64_t>(prompt));
    EXPECT_EQ(greedy(packed, prompt, 40), expected);
  }
}

TEST_P(Packing, leaves_layers_alone_that_are_not_2_4) {
  Model model = sparse_model(GetParam()(), "att");
  const int64_t all = [&] {
    int64_t count = 0;
    model.visit_linears([&](const std::string&, Linear&) { ++count; });
    return count;
  }();
  const int64_t packed = keep_packed(model, Pack::kAlways);
  EXPECT_GT(packed, 0);
  EXPECT_LT(packed, all);
  model.visit_linears([](const std::string& name, Linear& linear) {
    EXPECT_EQ(linear.weight.defined(), name.find("att") != std::string::npos) << name;
  });
  EXPECT_EQ(keep_packed(model, Pack::kAlways), 0) << "once is enough";
}

TEST_P(Packing, the_cache_gives_the_logits_of_the_whole_sequence) {
  const at::NoGradGuard no_gradients;
  const Model model = make_random(GetParam()(), 5);
  const at::Tensor ids = at::randint(0, 97, {3, 20}, at::TensorOptions().dtype(at::kLong));
  const at::Tensor whole = hidden_of(model, ids).view({3, 20, -1});
  KeyValueCache cache = make_cache(model, 3, 20);
  at::Tensor hidden = hidden_of(model, ids.narrow(1, 0, 12), cache).view({3, 12, -1});
  EXPECT_TRUE(at::allclose(hidden, whole.narrow(1, 0, 12), 1e-4, 1e-5));
  for (int64_t t = 12; t < 20; ++t) {
    hidden = hidden_of(model, ids.narrow(1, t, 1), cache);
    EXPECT_TRUE(at::allclose(hidden, whole.select(1, t), 1e-4, 1e-5)) << t;
  }
  EXPECT_THAT_ERROR(hidden_of(model, ids.narrow(1, 0, 1), cache), "room for 20 tokens");
  EXPECT_THAT_ERROR(hidden_of(model, at::randint(0, 97, {1, 129}, at::kLong)), "context of 128");
}

TEST_P(Packing, the_pieces_of_a_forward_pass_make_the_whole) {
  const at::NoGradGuard no_gradients;
  const Model model = make_random(GetParam()(), 5);
  const at::Tensor ids = at::randint(0, 97, {3, 20}, at::TensorOptions().dtype(at::kLong));
  const Pass pass = start(model, ids);
  at::Tensor x = embed(model, ids, pass);
  for (int64_t i = 0; i < model.layers(); ++i) x = run_block(model, i, x, pass);
  EXPECT_TRUE(finish(model, x).equal(hidden_of(model, ids)));
}

TEST_P(Packing, an_observer_sees_every_linear_layer_of_a_block_and_may_replace_its_weight) {
  Model model = make_random(GetParam()(), 5);
  const at::Tensor ids = at::randint(0, 97, {2, 9}, at::TensorOptions().dtype(at::kLong));
  const Pass pass = start(model, ids);
  const at::Tensor x = embed(model, ids, pass).detach();
  std::vector<std::string> expected, seen;
  model.visit_block_linears(1, [&](const std::string& name, Linear&) { expected.push_back(name); });
  const at::Tensor plain =
      run_block(model, 1, x, pass, [&](const auto& name, auto& layer, auto& in) {
        seen.push_back(name);
        EXPECT_EQ(in.size(1), layer.weight.size(1));
        EXPECT_EQ(in.size(0), 18);
        return at::Tensor();
      });
  EXPECT_TRUE(plain.equal(run_block(model, 1, x, pass)));
  std::sort(expected.begin(), expected.end());
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(seen, expected);
  // Gradients reach the weight that replaces the layer's own.
  const std::string last = expected[0];
  const at::Tensor other = linear_named(model, last).weight.mul(0.5).requires_grad_();
  const auto replace = [&](const std::string& name, const Linear&, const at::Tensor&) {
    return name == last ? other : at::Tensor();
  };
  const at::Tensor replaced = run_block(model, 1, x, pass, replace);
  EXPECT_FALSE(replaced.equal(plain));
  torch::autograd::backward({replaced.sum()}, {});
  EXPECT_GT(other.grad().abs().sum().item<double>(), 0);
  linear_named(model, last).weight.detach().mul_(0.5);
  EXPECT_TRUE(at::allclose(run_block(model, 1, x, pass), replaced, 1e-4, 1e-5));
}

TEST(Model, copies_share_their_tensors_and_not_what_is_set_beside_them) {
  Model model = make_random(small_gpt2(), 5);
  Model copy = model;
  Linear& own = linear_named(model, "transformer.h.0.mlp.c_fc.weight");
  Linear& other = linear_named(copy, "transformer.h.0.mlp.c_fc.weight");
  EXPECT_TRUE(own.weight.is_same(other.weight));
  own.stream.seed = 99;
  EXPECT_NE(other.stream.seed, 99u);
  EXPECT_THAT_ERROR(linear_named(model, "transformer.wte.weight"), "no linear layer");
}

}  // namespace
}  // namespace twofour::model
