#include "twofour/checkpoint/model_folder.h"

#include <cmath>
#include <fstream>

#include <gtest/gtest.h>

#include <ATen/ops/from_blob.h>
#include <torch/csrc/autograd/autograd.h>

#include "twofour/model/generate.h"
#include "twofour/model/loss.h"

#include "testing.h"

namespace twofour::checkpoint {
namespace {

using testing::TemporaryFolder;

model::Gpt2Config small_config() {
  model::Gpt2Config config;
  config.vocabulary = 37;
  config.context = 16;
  config.width = 16;
  config.layers = 2;
  config.heads = 4;
  config.feed_forward = 24;
  return config;
}

class GoldenGpt2 : public ::testing::Test {
 protected:
  void SetUp() override {
    SKIP_WITHOUT_SHARED();
    const fs::path folder = testing::shared_folder() / "golden/gpt2";
    golden_ = testing::read_golden(folder / "expected.safetensors");
    model_ = load_gpt2(folder, at::kFloat);
  }
  std::vector<int64_t> integers(const char* name) const {
    const auto& values = golden_.at(name).values;
    return {values.begin(), values.end()};
  }
  std::map<std::string, testing::GoldenTensor> golden_;
  model::Gpt2 model_;
};

TEST_F(GoldenGpt2, logits_equal_transformers) {
  auto ids = integers("ids");
  const auto& shape = golden_.at("ids").shape;
  const at::Tensor input = at::from_blob(ids.data(), shape, at::TensorOptions().dtype(at::kLong));
  const at::Tensor logits = gpt2_logits(model_, gpt2_hidden(model_, input)).contiguous();
  const auto& expected = golden_.at("logits").values;
  ASSERT_EQ(static_cast<size_t>(logits.numel()), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_NEAR(logits.const_data_ptr<float>()[i], expected[i], 1e-4);
  }
}

// The whole backward pass, fused loss and in-place gradients included, with and without
// recomputation.
TEST_F(GoldenGpt2, loss_and_every_gradient_equal_transformers) {
  const auto ids = integers("ids");
  const int64_t rows = golden_.at("ids").shape[0], columns = golden_.at("ids").shape[1];
  std::vector<int64_t> inputs, targets;
  for (int64_t r = 0; r < rows; ++r) {
    inputs.insert(inputs.end(), &ids[r * columns], &ids[r * columns] + columns - 1);
    targets.insert(targets.end(), &ids[r * columns] + 1, &ids[r * columns] + columns);
  }
  model_.visit([](const std::string&, at::Tensor& tensor) { tensor.requires_grad_(); });
  const at::Tensor input =
      at::from_blob(inputs.data(), {rows, columns - 1}, at::TensorOptions().dtype(at::kLong));
  for (const bool recompute : {false, true}) {
    const at::Tensor loss = model::next_token_loss(
        model_, model::gpt2_hidden(model_, input, {recompute}), targets, 1.0);
    EXPECT_NEAR(loss.item<double>(), golden_.at("loss").values[0], 1e-5);
    torch::autograd::backward({loss}, {});
    int compared = 0;
    model_.visit([&](const std::string& name, at::Tensor& tensor) {
      const auto expected = golden_.find("grad." + name);
      if (expected == golden_.end()) return;
      ASSERT_TRUE(tensor.grad().defined()) << name;
      const bool transposed = expected->second.shape != tensor.sizes().vec() ||
                              (name.find(".h.") != std::string::npos && tensor.dim() == 2);
      const at::Tensor gradient = (transposed ? tensor.grad().t() : tensor.grad()).contiguous();
      const float* values = gradient.const_data_ptr<float>();
      for (size_t i = 0; i < expected->second.values.size(); ++i) {
        ASSERT_NEAR(values[i], expected->second.values[i], 1e-4) << name << " " << i;
      }
      tensor.mutable_grad().zero_();
      ++compared;
    });
    EXPECT_GT(compared, 5);
  }
}

TEST_F(GoldenGpt2, greedy_text_equals_transformers) {
  const auto greedy = integers("greedy");
  std::vector<int64_t> ids(greedy.begin(), greedy.begin() + 5);
  model::GenerateOptions options;
  options.temperature = 0;
  options.max_tokens = static_cast<int64_t>(greedy.size()) - 5;
  model::generate(model_, std::vector(ids), options, [&](int64_t id) {
    ids.push_back(id);
    return true;
  });
  EXPECT_EQ(ids, greedy);
}

TEST(Gpt2Folder, round_trips_every_bit) {
  const TemporaryFolder folder;
  model::Gpt2 written = model::make_gpt2(small_config(), 3);
  save_gpt2(folder / "m", written, {}, {});
  model::Gpt2 read = load_gpt2(folder / "m", at::kFloat);
  EXPECT_EQ(read.config, written.config);
  std::map<std::string, at::Tensor> expected;
  written.visit([&](const std::string& name, at::Tensor& tensor) { expected[name] = tensor; });
  read.visit([&](const std::string& name, at::Tensor& tensor) {
    EXPECT_TRUE(tensor.equal(expected.at(name))) << name;
  });
}

TEST(Gpt2Folder, refuses_by_name_what_it_cannot_compute) {
  const TemporaryFolder folder;
  const fs::path path = folder / "m";
  model::Gpt2 model = model::make_gpt2(small_config(), 3);
  save_gpt2(path, model, {}, {});
  const std::string config = read_file(path / "config.json");
  for (const auto& [from, to, message] : std::vector<std::array<std::string, 3>>{
           {"\"gpt2\"", "\"bert\"", "model_type \"bert\""},
           {"gelu_new", "relu", "activation_function"},
           {"\"scale_attn_weights\": true", "\"scale_attn_weights\": false", "scale_attn_weights"},
           {"\"tie_word_embeddings\": true", "\"tie_word_embeddings\": false", "tie_word"},
           {"\"n_head\": 4", "\"n_head\": 5", "not divisible"},
           {"\"n_head\": 4", "\"n_head\": -4", "n_head is -4"},
           {"\"n_head\": 4", "\"n_head\": \"4\"", "n_head is missing"},
           {"\"n_embd\": 16", "\"n_embd\": 32", "asks for floats"},
           {"\"n_layer\": 2", "\"n_layer\": 3", "missing tensors"},
           {"\"n_layer\": 2", "\"n_layer\": 1", "unexpected tensors"},
           {"{", "", "not a JSON object"}}) {
    std::string changed = config;
    changed.replace(changed.find(from), from.size(), to);
    write_file(path / "config.json", changed);
    EXPECT_THAT_ERROR(load_gpt2(path, at::kFloat), message);
  }
  EXPECT_THAT_ERROR(load_gpt2(folder / "none", at::kFloat), "No such file");
}

}  // namespace
}  // namespace twofour::checkpoint
