#include "twofour/checkpoint/model_weights.h"

#include <gtest/gtest.h>

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include "testing.h"

namespace twofour::checkpoint {
namespace {

using testing::TemporaryFolder;
using Json = nlohmann::json;

const Json kConfig = sparse24_bitmask_config({"lm_head"});

at::Tensor small24() {
  const at::Tensor weight = at::arange(1, 25, at::kFloat).view({2, 3, 4});
  weight.slice(2, 2).zero_();
  return weight.view({2, 12});
}

NamedTensors parts(const std::string& module) {
  const Sparse24Bitmask stored = compress24(small24());
  return {{module + ".compressed", stored.compressed},
          {module + ".bitmask", stored.bitmask},
          {module + ".shape", stored.shape}};
}

FolderWeights open_with(const TemporaryFolder& folder, NamedTensors tensors,
                        const Json& config = kConfig) {
  tensors.emplace_back("norm.weight", at::arange(3, at::kFloat));
  write_safetensors(folder / "model.safetensors", tensors);
  return FolderWeights(folder.path(), config);
}

TEST(ModelWeights, compressed_weights_look_like_plain_ones) {
  const TemporaryFolder folder;
  const FolderWeights weights = open_with(folder, parts("up"));
  EXPECT_EQ(weights.names(), (std::vector<std::string>{"norm.weight", "up.weight"}));
  EXPECT_EQ(weights.entry("up.weight").shape, (std::vector<int64_t>{2, 12}));
  EXPECT_TRUE(weights.view("up.weight").equal(small24()));
  EXPECT_TRUE(weights.mask("up.weight").equal(at::full({3}, 0b11001100, at::kByte)));
  EXPECT_TRUE(weights.view("norm.weight").equal(at::arange(3, at::kFloat)));
  EXPECT_FALSE(weights.mask("norm.weight").defined());
  weights.release("up.weight");
  EXPECT_TRUE(weights.view("up.weight").equal(small24()));
  EXPECT_THAT_ERROR(weights.view("up.shape"), "no tensor \"up.shape\"");
}

TEST(ModelWeights, without_the_config_nothing_is_compressed) {
  const TemporaryFolder folder;
  EXPECT_EQ(open_with(folder, parts("up"), Json()).names().size(), 4u);
}

TEST(ModelWeights, incomplete_or_inconsistent_parts_are_refused_by_name) {
  const TemporaryFolder folder;
  for (size_t missing = 0; missing < 3; ++missing) {
    NamedTensors tensors = parts("up");
    tensors.erase(tensors.begin() + static_cast<std::ptrdiff_t>(missing));
    EXPECT_THAT_ERROR(open_with(folder, tensors), "\"up.weight\" is compressed, but its");
  }
  NamedTensors tensors = parts("up");
  tensors.emplace_back("up.weight", small24());
  EXPECT_THAT_ERROR(open_with(folder, tensors), "uncompressed too");
  tensors = parts("up");
  tensors[2].second = at::full({2, 1}, 8, at::kLong);
  EXPECT_THAT_ERROR(open_with(folder, tensors), "needs floats [8, 4]");
  tensors[2].second = at::full({3, 1}, 8, at::kLong);
  EXPECT_THAT_ERROR(open_with(folder, tensors), "its shape is no int64");
  tensors = parts("up");
  tensors[1].second = at::zeros({2, 2}, at::kByte);
  EXPECT_THAT_ERROR(open_with(folder, tensors).view("up.weight"), "keeps 0 of four");
}

TEST(ModelWeights, other_ways_of_compressing_are_refused_by_name) {
  const auto changed = [](const char* pointer, const Json& value) {
    Json config = kConfig;
    config[Json::json_pointer(pointer)] = value;
    return is_sparse24_bitmask(config, "m/config.json");
  };
  EXPECT_TRUE(is_sparse24_bitmask(kConfig, ""));
  EXPECT_FALSE(is_sparse24_bitmask(Json(), ""));
  EXPECT_TRUE(changed("/version", "0.10.2"));
  EXPECT_TRUE(changed("/format", "dense"));
  EXPECT_FALSE(changed("/sparsity_config/format", "dense"));
  EXPECT_FALSE(changed("/sparsity_config", Json::object()));
  EXPECT_THAT_ERROR(changed("/quant_method", "gptq"),
                    "m/config.json\": quantization_config.quant_method");
  EXPECT_THAT_ERROR(changed("/quant_method", nullptr), "quant_method is missing");
  EXPECT_THAT_ERROR(changed("/format", "pack-quantized"), "quantization_config.format");
  EXPECT_THAT_ERROR(changed("/config_groups", {{"group_0", 1}}), "config_groups");
  EXPECT_THAT_ERROR(changed("/kv_cache_scheme", {{"num_bits", 8}}), "kv_cache_scheme");
  EXPECT_THAT_ERROR(changed("/new_field", 1), "new_field");
  EXPECT_THAT_ERROR(changed("/sparsity_config", 3), "sparsity_config is no object");
  EXPECT_THAT_ERROR(changed("/sparsity_config/format", "sparse-bitmask"), "sparsity_config.format");
  EXPECT_THAT_ERROR(changed("/sparsity_config/sparsity_structure", "0:0"), "sparsity_structure");
  EXPECT_THAT_ERROR(is_sparse24_bitmask(Json::array(), "m"), "is no object");
}

}  // namespace
}  // namespace twofour::checkpoint
