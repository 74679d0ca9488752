#include "twofour/eval/perplexity.h"

#include <cmath>

#include <gtest/gtest.h>

#include "twofour/checkpoint/model_folder.h"

#include "testing.h"

namespace twofour::eval {
namespace {

void expect_golden_perplexities(const fs::path& folder) {
  const auto golden = testing::read_golden(folder / "expected.safetensors");
  const auto& values = golden.at("long_ids").values;
  const std::vector<int64_t> ids(values.begin(), values.end());
  const model::Model model = checkpoint::load_model(folder, at::kFloat);
  int compared = 0;
  for (const auto& [name, expected] : golden) {
    int context, stride;
    if (std::sscanf(name.c_str(), "perplexity_%d_%d", &context, &stride) != 2) continue;
    for (const int64_t batch : {1, 3, 64}) {
      const PerplexityResult result = perplexity(model, ids, {context, stride, batch, {}});
      EXPECT_NEAR(result.perplexity / expected.values[0], 1.0, 1e-5) << name;
      EXPECT_NEAR(result.nll / expected.values[1], 1.0, 1e-5) << name;
      EXPECT_EQ(static_cast<double>(result.tokens), expected.values[2]) << name;
    }
    ++compared;
  }
  EXPECT_GT(compared, 0);
}

TEST(Perplexity, equals_the_golden_values_of_every_model_for_every_context_and_stride) {
  SKIP_WITHOUT_SHARED();
  for (const char* name : {"gpt2", "llama", "llama_tied_mha", "llama31", "qwen2"}) {
    SCOPED_TRACE(name);
    expect_golden_perplexities(testing::shared_folder() / "golden" / name);
  }
}

TEST(Perplexity, refuses_impossible_windows) {
  model::Gpt2Config config;
  config.vocabulary = 11;
  config.context = 8;
  config.width = 8;
  config.layers = 1;
  config.heads = 2;
  config.feed_forward = 16;
  const model::Model model{model::make_random(config, 1)};
  const std::vector<int64_t> ids(20, 3);
  EXPECT_THAT_ERROR(perplexity(model, std::span(ids).first(1), {}), "at least 2 tokens");
  EXPECT_THAT_ERROR(perplexity(model, ids, {9, 9, 1, {}}), "outside 2 to 8");
  EXPECT_THAT_ERROR(perplexity(model, ids, {8, 9, 1, {}}), "--stride 9 is outside 1 to 8");
  EXPECT_THAT_ERROR(perplexity(model, std::vector<int64_t>{1, 11}, {}), "token id 11");
  // Every id but the first counts exactly once, for any stride.
  for (int64_t stride = 1; stride <= 8; ++stride) {
    const auto result = perplexity(model, ids, {8, stride, 2, {}});
    EXPECT_EQ(result.tokens, stride == 8 ? 17 : 19);
    EXPECT_TRUE(std::isfinite(result.perplexity));
  }
}

}  // namespace
}  // namespace twofour::eval
