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

model::Model small_gpt2() { return {model::make_random(small_config(), 3)}; }

/// Every golden folder: ids, logits, loss and gradients computed by transformers.
class Golden : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    SKIP_WITHOUT_SHARED();
    folder_ = testing::shared_folder() / "golden" / GetParam();
    golden_ = testing::read_golden(folder_ / "expected.safetensors");
    model_ = load_model(folder_, at::kFloat);
  }
  std::vector<int64_t> integers(const char* name) const {
    const auto& values = golden_.at(name).values;
    return {values.begin(), values.end()};
  }
  fs::path folder_;
  std::map<std::string, testing::GoldenTensor> golden_;
  model::Model model_;
};

INSTANTIATE_TEST_SUITE_P(Folders, Golden,
                         ::testing::Values("gpt2", "llama", "llama_tied_mha", "llama31", "qwen2"),
                         [](const auto& folder) { return std::string(folder.param); });

TEST_P(Golden, logits_equal_transformers) {
  auto ids = integers("ids");
  const auto& shape = golden_.at("ids").shape;
  const at::Tensor input = at::from_blob(ids.data(), shape, at::TensorOptions().dtype(at::kLong));
  const at::Tensor logits =
      model::logits_of(model_.output(), model::hidden_of(model_, input)).contiguous();
  const auto& expected = golden_.at("logits").values;
  ASSERT_EQ(static_cast<size_t>(logits.numel()), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_NEAR(logits.const_data_ptr<float>()[i], expected[i], 1e-4);
  }
}

// The whole backward pass, fused loss and in-place gradients included, with and without
// recomputation.
TEST_P(Golden, loss_and_every_gradient_equal_transformers) {
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
        model_.output(), model::hidden_of(model_, input, {recompute}), targets, 1.0);
    EXPECT_NEAR(loss.item<double>(), golden_.at("loss").values[0], 1e-5);
    torch::autograd::backward({loss}, {});
    int compared = 0;
    model_.visit([&](const std::string& name, at::Tensor& tensor) {
      const auto expected = golden_.find("grad." + name);
      if (expected == golden_.end()) return;
      ASSERT_TRUE(tensor.grad().defined()) << name;
      const bool transposed = name.find(".h.") != std::string::npos && tensor.dim() == 2;
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

TEST_P(Golden, greedy_text_equals_transformers) {
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

TEST_P(Golden, one_layer_at_a_time_is_the_same_model) {
  const ModelFolder folder(folder_);
  model::Model frame = folder.load_frame(at::kFloat);
  std::map<std::string, at::Tensor> expected;
  model_.visit([&](const std::string& name, at::Tensor& tensor) { expected[name] = tensor; });
  size_t compared = 0;
  const auto compare = [&](const std::string& name, at::Tensor& tensor) {
    EXPECT_TRUE(tensor.equal(expected.at(name))) << name;
    ++compared;
  };
  frame.visit_frame(compare);
  for (int64_t i = 0; i < frame.layers(); ++i) {
    frame.visit_block(i, [&](const std::string& name, at::Tensor& tensor) {
      EXPECT_FALSE(tensor.defined()) << name;
    });
    folder.load_block(frame, i, at::kFloat);
    frame.visit_block(i, compare);
    model::drop_block(frame, i);
  }
  EXPECT_EQ(compared, expected.size());
}

TEST_P(Golden, saving_and_loading_keeps_every_bit) {
  const TemporaryFolder folder;
  for (const uint64_t largest_shard : {uint64_t{1} << 40, uint64_t{20000}}) {
    SaveOptions options;
    options.largest_shard = largest_shard;
    save_model(folder / "m", model_, options);
    EXPECT_EQ(fs::exists(folder / "m/model.safetensors.index.json"), largest_shard == 20000);
    model::Model read = load_model(folder / "m", at::kFloat);
    EXPECT_EQ(read.config(), model_.config());
    std::map<std::string, at::Tensor> expected;
    model_.visit([&](const std::string& name, at::Tensor& tensor) { expected[name] = tensor; });
    read.visit([&](const std::string& name, at::Tensor& tensor) {
      EXPECT_TRUE(tensor.equal(expected.at(name))) << name;
    });
  }
}

TEST(Gpt2Folder, refuses_by_name_what_it_cannot_compute) {
  const TemporaryFolder folder;
  const fs::path path = folder / "m";
  save_model(path, small_gpt2(), {});
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
           {"{", "", "no valid JSON"}}) {
    std::string changed = config;
    changed.replace(changed.find(from), from.size(), to);
    write_file(path / "config.json", changed);
    EXPECT_THAT_ERROR(load_model(path, at::kFloat), message);
  }
  EXPECT_THAT_ERROR(load_model(folder / "none", at::kFloat), "No such file");
  write_file(path / "config.json",
             std::string(config).replace(config.find("\"n_layer\": 2"), 12, "\"n_layer\": 1"));
  EXPECT_EQ(ModelFolder(path).warnings().size(), 1u) << "tensors of the second layer";
  EXPECT_THAT_ERROR(ModelFolder(path, /*is_strict=*/true), "unexpected tensors");
}

}  // namespace
}  // namespace twofour::checkpoint
