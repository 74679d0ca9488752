#include "twofour/prune/layer_plan.h"

#include <set>

#include <gtest/gtest.h>

#include "testing.h"

namespace twofour::prune {
namespace {

// 3 blocks of width 24 and feed-forward width 36.
model::ModelConfig small_llama() {
  model::LlamaConfig config;
  config.vocabulary = 40;
  config.context = 16;
  config.width = 24;
  config.layers = 3;
  config.heads = 2;
  config.key_value_heads = 2;
  config.head_width = 12;
  config.feed_forward = 36;
  config.tied = true;
  return config;
}

std::set<std::string> planned(const LayerPlan& plan) {
  std::set<std::string> names;
  for (const auto& block : plan.blocks) {
    for (const auto& [name, pattern] : block) names.insert(name);
  }
  return names;
}

std::string reason_for(const LayerPlan& plan, const std::string& name) {
  for (const SkippedLayer& layer : plan.skipped) {
    if (layer.name == name) return layer.reason;
  }
  return "";
}

TEST(LayerPlan, names_every_layer_once) {
  PruneOptions options;
  options.exclude = {"k_proj"};
  const LayerPlan plan = plan_layers(small_llama(), options);
  std::set<std::string> names = planned(plan);
  for (const SkippedLayer& layer : plan.skipped) {
    EXPECT_FALSE(layer.reason.empty());
    EXPECT_TRUE(names.insert(layer.name).second) << layer.name;
  }
  EXPECT_EQ(names.size(), 3u * 7u + 1u);
  EXPECT_EQ(reason_for(plan, "model.layers.1.self_attn.k_proj.weight"), "matches --exclude");
  EXPECT_NE(reason_for(plan, "model.embed_tokens.weight"), "");
}

TEST(LayerPlan, the_first_rule_that_matches_replaces_the_pattern) {
  PruneOptions options;
  options.rules = {{"layers.0.*down", std::nullopt},
                   {"down_proj", sparse::Pattern{1, 4, 0}},
                   {"mlp", sparse::Pattern{0, 0, 0.25}}};
  const LayerPlan plan = plan_layers(small_llama(), options);
  EXPECT_EQ(reason_for(plan, "model.layers.0.mlp.down_proj.weight"), "a rule keeps it dense");
  const auto& block = plan.blocks[1];
  EXPECT_EQ(block.at("model.layers.1.mlp.down_proj.weight"), (sparse::Pattern{1, 4, 0}));
  EXPECT_EQ(block.at("model.layers.1.mlp.up_proj.weight"), (sparse::Pattern{0, 0, 0.25}));
  EXPECT_EQ(block.at("model.layers.1.self_attn.q_proj.weight"), (sparse::Pattern{2, 4, 0}));
}

TEST(LayerPlan, skips_layers_whose_columns_do_not_fit) {
  PruneOptions options;
  options.pattern = {4, 8, 0};
  const LayerPlan plan = plan_layers(small_llama(), options);
  EXPECT_EQ(reason_for(plan, "model.layers.0.mlp.down_proj.weight"),
            "its 36 columns are not a multiple of 8");
  options.include = {"down_proj"};
  EXPECT_THAT_ERROR(plan_layers(small_llama(), options), "not a multiple of 8");
}

TEST(LayerPlan, refuses_patterns_that_match_nothing) {
  PruneOptions options;
  options.include = {"q_proj", "nothing"};
  EXPECT_THAT_ERROR(plan_layers(small_llama(), options), "--include \"nothing\" matches no layer");
  options.include = {};
  options.exclude = {"nothing"};
  EXPECT_THAT_ERROR(plan_layers(small_llama(), options), "--exclude \"nothing\" matches no layer");
  options.exclude = {"("};
  EXPECT_THAT_ERROR(plan_layers(small_llama(), options), "is not understood");
  options.exclude = {};
  options.rules = {{"nothing", std::nullopt}};
  EXPECT_THAT_ERROR(plan_layers(small_llama(), options), "rule \"nothing\" matches no layer");
}

TEST(LayerPlan, keeps_to_the_blocks_that_are_asked) {
  PruneOptions options;
  options.blocks = {1, 1};
  const LayerPlan plan = plan_layers(small_llama(), options);
  EXPECT_EQ(plan.last_block(), 1);
  EXPECT_EQ(planned(plan).size(), 7u);
  EXPECT_EQ(reason_for(plan, "model.layers.2.mlp.up_proj.weight"), "outside --blocks");
  options.blocks = {1, 3};
  EXPECT_THAT_ERROR(plan_layers(small_llama(), options), "the model has blocks 0 to 2");
}

TEST(Pattern, is_read_from_text_or_refused) {
  EXPECT_EQ(pattern_named("2:4"), (sparse::Pattern{2, 4, 0}));
  EXPECT_EQ(pattern_named("1:8"), (sparse::Pattern{1, 8, 0}));
  EXPECT_EQ(pattern_named("0.5"), (sparse::Pattern{0, 0, 0.5}));
  for (const char* text : {"", "2:", ":4", "2:4:8", "0:4", "4:4", "5:4", "2:9", "-2:4", "2:0", "0",
                           "1", "1.5", "-0.5", "two", "2;4", "2.0:4", "99999999999:4"}) {
    EXPECT_THROW(pattern_named(text), Error) << text;
  }
}

}  // namespace
}  // namespace twofour::prune
