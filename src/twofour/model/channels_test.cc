#include "twofour/model/channels.h"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

#include <ATen/ops/allclose.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn_like.h>
#include <ATen/ops/randperm.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "twofour/model/model.h"

namespace twofour::model {
namespace {

template <class Config>
Config of_few_channels() {
  Config config;
  config.vocabulary = 97;
  config.context = 64;
  config.width = 48;
  config.layers = 2;
  config.heads = 4;
  config.feed_forward = 80;
  if constexpr (requires { config.key_value_heads; }) {
    config.key_value_heads = 2;
    config.head_width = 20;
  }
  return config;
}

ModelConfig llama_of_few_channels() { return of_few_channels<LlamaConfig>(); }

ModelConfig qwen2_of_few_channels() {
  auto config = of_few_channels<LlamaConfig>();
  config.family = "qwen2";
  config.key_value_heads = 1;
  config.query_bias = config.attention_output_bias = config.feed_forward_bias = true;
  return config;
}

ModelConfig gpt2_of_few_channels() { return of_few_channels<Gpt2Config>(); }

ModelConfig qwen3_of_few_channels() { return of_few_channels<Qwen3Config>(); }

ModelConfig gpt_neox_of_few_channels() {
  auto config = of_few_channels<GptNeoXConfig>();
  config.rotary_width = 4;
  return config;
}

ModelConfig opt_of_few_channels() {
  auto config = of_few_channels<OptConfig>();
  config.embedding_width = config.width;
  return config;
}

// Biases and norms differ from their initial zeros and ones.
Model random_everywhere(const ModelConfig& config) {
  Model model = make_random(config, 3);
  model.visit([](const std::string&, at::Tensor& tensor) {
    tensor.add_(at::randn_like(tensor).mul_(0.3));
  });
  return model;
}

class Channels : public ::testing::TestWithParam<ModelConfig (*)()> {
 protected:
  void SetUp() override {
    const auto seed = std::random_device()();
    RecordProperty("seed", std::to_string(seed));
    printf("seed %u\n", seed);
    at::manual_seed(seed);
  }
  const at::NoGradGuard no_gradients_;
};

INSTANTIATE_TEST_SUITE_P(Models, Channels,
                         ::testing::Values(gpt2_of_few_channels, llama_of_few_channels,
                                           qwen2_of_few_channels, qwen3_of_few_channels,
                                           gpt_neox_of_few_channels, opt_of_few_channels));

TEST_P(Channels, may_change_places_without_a_change_of_the_model) {
  Model model = random_everywhere(GetParam()());
  const at::Tensor ids = at::randint(0, 97, {2, 40}, at::TensorOptions().dtype(at::kLong));
  const at::Tensor before = hidden_of(model, ids).clone();
  for (size_t i = 0; i < 2; ++i) {
    for (const ChannelGroup& group : model.network().channel_groups(i)) {
      const at::Tensor columns = group.consumer->weight.clone();
      permute_channels(group, at::randperm(group.size, at::TensorOptions().dtype(at::kLong)));
      EXPECT_FALSE(group.consumer->weight.equal(columns));
    }
  }
  EXPECT_TRUE(at::allclose(hidden_of(model, ids), before, 1e-4, 1e-4));
}

TEST_P(Channels, cover_the_inputs_of_the_two_layers_that_end_a_block_once) {
  Model model = random_everywhere(GetParam()());
  std::map<const Linear*, std::vector<int64_t>> covered;
  for (const ChannelGroup& group : model.network().channel_groups(1)) {
    for (const int64_t first : group.columns) {
      for (int64_t column = first; column < first + group.size; ++column) {
        covered[group.consumer].push_back(column);
      }
    }
  }
  EXPECT_EQ(covered.size(), 2u);
  for (auto& [layer, columns] : covered) {
    std::sort(columns.begin(), columns.end());
    EXPECT_EQ(static_cast<int64_t>(columns.size()), layer->weight.size(1));
    EXPECT_EQ(std::unique(columns.begin(), columns.end()), columns.end());
  }
}

}  // namespace
}  // namespace twofour::model
