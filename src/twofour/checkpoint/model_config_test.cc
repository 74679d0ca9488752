#include "twofour/checkpoint/model_config.h"

#include <gtest/gtest.h>

#include "twofour/checkpoint/config_fields.h"

#include "testing.h"

namespace twofour::checkpoint {
namespace {

using Json = nlohmann::json;

Json llama_json() {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"model_type", "llama"},
          {"vocab_size", 97},
          {"max_position_embeddings", 32},
          {"hidden_size", 64},
          {"intermediate_size", 172},
          {"num_hidden_layers", 2},
          {"num_attention_heads", 4},
          {"num_key_value_heads", 2},
          {"rms_norm_eps", 1e-6}};
}

model::LlamaConfig parse(const Json& json) {
  return std::get<model::LlamaConfig>(parse_config(json.dump(), "config.json").model);
}

Json with(Json json, const char* field, const Json& value) {
  json[field] = value;
  return json;
}

TEST(ModelConfig, takes_transformers_defaults_for_absent_fields) {
  const model::LlamaConfig config = parse(llama_json());
  EXPECT_EQ(config.head_width, 16);
  EXPECT_EQ(config.rope.theta, 10000.0);
  EXPECT_FALSE(config.tied);
  EXPECT_FALSE(config.query_bias);
  Json json = llama_json();
  json.erase("num_key_value_heads");
  EXPECT_EQ(parse(json).key_value_heads, 4);
  EXPECT_EQ(parse(with(json, "num_key_value_heads", nullptr)).key_value_heads, 4);
}

TEST(ModelConfig, reads_rope_as_transformers_4_and_5_write_it) {
  const Json scaling = {{"rope_type", "llama3"},
                        {"factor", 8.0},
                        {"low_freq_factor", 1.0},
                        {"high_freq_factor", 4.0},
                        {"original_max_position_embeddings", 16}};
  const model::LlamaConfig four =
      parse(with(with(llama_json(), "rope_scaling", scaling), "rope_theta", 500000.0));
  const model::LlamaConfig five =
      parse(with(llama_json(), "rope_parameters", with(scaling, "rope_theta", 500000.0)));
  EXPECT_EQ(four, five);
  EXPECT_EQ(four.rope.scaling.kind, model::RopeScaling::Kind::kLlama3);
  EXPECT_EQ(four.rope.theta, 500000.0);
  // As in transformers, rope_scaling takes precedence over rope_parameters, and both over the
  // fields beside them.
  const Json linear = {{"rope_type", "linear"}, {"factor", 2.0}, {"rope_theta", 333.0}};
  const model::LlamaConfig both =
      parse(with(with(with(llama_json(), "rope_parameters", scaling), "rope_scaling", linear),
                 "rope_theta", 9.0));
  EXPECT_EQ(both.rope.scaling.kind, model::RopeScaling::Kind::kLinear);
  EXPECT_EQ(both.rope.theta, 333.0);
  EXPECT_EQ(parse(with(with(llama_json(), "rope_parameters", scaling),
                       "original_max_position_embeddings", 8))
                .rope.scaling.original_context,
            8);
  const Json dynamic = {{"type", "dynamic"}, {"factor", 2.0}};
  EXPECT_EQ(parse(with(llama_json(), "rope_scaling", dynamic)).rope.scaling.kind,
            model::RopeScaling::Kind::kNone);
  parse(with(with(llama_json(), "rope_parameters", scaling), "rope_scaling", nullptr));
  const Json older = {{"type", "linear"}, {"factor", 2.0}};
  EXPECT_EQ(parse(with(llama_json(), "rope_scaling", older)).rope.scaling.factor, 2.0);
}

TEST(ModelConfig, the_families_differ_in_biases_and_windows) {
  Json qwen = with(llama_json(), "model_type", "qwen2");
  qwen["architectures"] = {"Qwen2ForCausalLM"};
  EXPECT_TRUE(parse(qwen).query_bias);
  EXPECT_FALSE(parse(qwen).attention_output_bias);
  parse(with(qwen, "sliding_window", 16));
  const Json sliding = with(with(qwen, "sliding_window", 16), "use_sliding_window", true);
  parse(sliding);  // from layer 28 on, which does not exist
  EXPECT_EQ(parse(sliding).context, 32);
  EXPECT_EQ(parse(with(sliding, "max_window_layers", 1)).context, 16);
  const Json types = {"full_attention", "sliding_attention"};
  EXPECT_EQ(parse(with(sliding, "layer_types", types)).context, 16);
  Json mistral = with(llama_json(), "model_type", "mistral");
  mistral["architectures"] = {"MistralForCausalLM"};
  EXPECT_EQ(parse(mistral).family, "mistral");
  parse(with(mistral, "sliding_window", nullptr));
  parse(with(mistral, "sliding_window", 32));
  EXPECT_EQ(parse(with(mistral, "sliding_window", 31)).context, 31);
  EXPECT_EQ(parse(with(mistral, "max_position_embeddings", 8192)).context, 4096);
  const Json narrow = with(mistral, "sliding_window", 31);
  EXPECT_THAT(parse_config(narrow.dump(), "config.json").warnings,
              ::testing::ElementsAre(::testing::HasSubstr(
                  "sliding_window 31 is below the context of 32: sequences may have 31")));
  EXPECT_THAT_ERROR(parse(with(mistral, "sliding_window", -1)), "sliding_window is -1");
  EXPECT_TRUE(parse(with(llama_json(), "attention_bias", true)).attention_output_bias);
  EXPECT_THAT_ERROR(parse(with(qwen, "mlp_bias", true)), "mlp_bias true");
  Json absent = with(mistral, "num_attention_heads", 16);
  absent.erase("num_key_value_heads");
  EXPECT_EQ(parse(absent).key_value_heads, 8) << "what transformers takes for an absent field";
  EXPECT_THAT_ERROR(parse(with(mistral, "attention_bias", true)), "attention_bias");
}

TEST(ModelConfig, refuses_by_name_what_would_change_the_result) {
  for (const auto& [field, value, message] :
       std::vector<std::tuple<const char*, Json, const char*>>{
           {"model_type", "bert", "model_type \"bert\" is not supported"},
           {"model_type", 3, "model_type is no text"},
           {"hidden_act", "gelu", "hidden_act \"gelu\""},
           {"rope_scaling", {{"rope_type", "yarn"}, {"factor", 2}}, "rope_type \"yarn\""},
           {"rope_scaling", {{"rope_type", "linear"}}, "rope_scaling.factor is missing"},
           {"rope_scaling", {{"rope_type", "linear"}, {"factor", 0}}, "a number above 0"},
           {"rope_scaling", {{"factor", 2}}, "rope_scaling.factor is not known here"},
           {"rope_scaling", 3, "rope_scaling is no object"},
           {"rope_theta", "x", "rope_theta is missing or no number"},
           {"partial_rotary_factor", 0.5, "partial_rotary_factor 0.5"},
           {"layer_types", {"chunked_attention"}, "layer_types \"chunked_attention\""},
           {"num_attention_heads", 3, "hidden_size 64 is not divisible"},
           {"num_key_value_heads", 3, "num_attention_heads 4 is not divisible"},
           {"head_dim", 15, "head_dim 15 is odd"},
           {"vocab_size", -3, "vocab_size is -3"},
           {"vocab_size", 0, "vocab_size is 0"},
           {"vocab_size", 1e3, "vocab_size is missing or no whole number"},
           {"vocab_size", uint64_t{1} << 63, "which no model has"},
           {"hidden_size", nullptr, "hidden_size is missing"},
           {"rms_norm_eps", -1.0, "rms_norm_eps is -1.0"},
           {"tie_word_embeddings", "yes", "tie_word_embeddings is neither"},
           {"is_encoder_decoder", true, "is_encoder_decoder true"},
           {"pruned_heads", {{"0", {1}}}, "pruned_heads"},
           {"num_experts", 8, "num_experts is not known here"},
           {"rope_interleaved", true, "rope_interleaved true"},
           {"use_mrope", true, "use_mrope true"},
           {"logit_scale", 0.5, "logit_scale is not known here"}}) {
    EXPECT_THAT_ERROR(parse(with(llama_json(), field, value)), message);
  }
  parse(with(llama_json(), "_name_or_path", "x"));
  parse(with(with(llama_json(), "is_llama_config", true), "rope_interleaved", false));  // SmolLM2
  parse(with(with(llama_json(), "use_mrope", false), "max_sequence_length", 2048));
  parse(with(llama_json(), "logit_scale", nullptr));
  EXPECT_THAT_ERROR(parse_config(std::string(100000, '['), "config.json"), "config.json");
  EXPECT_THAT_ERROR(parse_config("[]", "config.json"), "not a JSON object");
}

TEST(ModelConfig, every_field_of_the_table_is_known_and_those_that_are_used_are_read) {
  Json gpt2 = {{"model_type", "gpt2"}};
  for (const ConfigField& field : config_fields()) {
    const Json nonsense = {{"no", "value"}};
    if (field.role == FieldRole::kHarmless) {
      EXPECT_TRUE(
          parse_config(with(gpt2, field.name.c_str(), nonsense).dump(), "", true).warnings.empty())
          << field.name;
      continue;
    }
    // Special ids and class names are never refused.
    if (field.name.ends_with("_token_id") || field.name == "architectures" ||
        field.name == "quantization_config") {
      continue;
    }
    bool is_refused = false;
    for (const model::Architecture& each : model::architectures()) {
      try {
        parse_config(with({{"model_type", each.model_type}}, field.name.c_str(), nonsense).dump(),
                     "");
      } catch (const Error& error) {
        const std::string message = error.what();
        is_refused |= message.find(field.name) != std::string::npos &&
                      message.find(field.name + " is not known here") == std::string::npos;
      }
    }
    EXPECT_TRUE(is_refused) << field.name;
  }
}

TEST(ModelConfig, an_unknown_field_is_a_warning_unless_it_sounds_like_arithmetic) {
  const Json json = with(with(llama_json(), "my_note", "x"), "trained_on", {1, 2});
  const std::vector<std::string> warnings = parse_config(json.dump(), "m").warnings;
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("\"my_note\", \"trained_on\""), std::string::npos) << warnings[0];
  EXPECT_THAT_ERROR(parse_config(json.dump(), "m", /*is_strict=*/true), "my_note is not known");
  for (const char* name : {"embedding_scale", "qk_norm", "LogitSoftcap", "k_bias", "window_size",
                           "num_local_experts", "hidden_activation", "residual_multiplier"}) {
    EXPECT_TRUE(suggests_arithmetic(name)) << name;
    EXPECT_THAT_ERROR(parse(with(llama_json(), name, 2)), "is not known here");
    for (const Json& nothing : {Json(false), Json(0), Json(""), Json::array(), Json::object()}) {
      EXPECT_EQ(parse_config(with(llama_json(), name, nothing).dump(), "m").warnings.size(), 1u);
    }
  }
  for (const char* name : {"residual_dropout", "router_aux_loss_coef", "max_steps", "license",
                           "properties", "layer_count", "tokenizer", "initializer_factor"}) {
    EXPECT_FALSE(suggests_arithmetic(name)) << name;
  }
}

TEST(ModelConfig, what_is_written_reads_the_same) {
  model::LlamaConfig config = parse(llama_json());
  config.rope.scaling = {model::RopeScaling::Kind::kLlama3, 8.0, 1.0, 4.0, 16};
  config.rope.theta = 500000.0;
  for (const char* family : {"llama", "mistral", "qwen2"}) {
    config.family = family;
    config.query_bias = config.family == "qwen2";
    config.tied = !config.tied;
    const auto json = config_json(config, {1, {2, 3}}, at::kBFloat16);
    const FolderConfig read = parse_config(json.dump(), "config.json");
    EXPECT_EQ(std::get<model::LlamaConfig>(read.model), config);
    EXPECT_EQ(read.special.begin, 1);
    EXPECT_EQ(read.special.end, (std::vector<int64_t>{2, 3}));
  }
}

TEST(ModelConfig, every_architecture_reads_what_it_writes) {
  model::GptNeoXConfig neox;
  neox.rotary_width = 96;
  neox.has_parallel_residual = neox.has_attention_bias = false;
  neox.rope.theta = 500.0;
  model::OptConfig opt;
  opt.embedding_width = 512;
  opt.has_norms_first = opt.has_last_norm = opt.has_biases = false;
  model::OptConfig without_last_norm;
  without_last_norm.has_last_norm = without_last_norm.tied = false;
  model::Qwen3Config qwen3;
  qwen3.key_value_heads = 8;
  qwen3.tied = qwen3.attention_bias = true;
  std::vector<model::ModelConfig> configs = {neox, opt, without_last_norm, qwen3};
  for (const model::Architecture& each : model::architectures()) {
    const Json json = {{"model_type", each.model_type}, {"sliding_window", nullptr}};
    configs.push_back(parse_config(json.dump(), "config.json").model);
  }
  for (const model::ModelConfig& config : configs) {
    const std::string json = config_json(config, {}, at::kFloat).dump();
    const FolderConfig read = parse_config(json, "config.json", /*is_strict=*/true);
    EXPECT_EQ(read.model, config) << json;
    EXPECT_TRUE(read.warnings.empty());
    EXPECT_EQ(model::architecture_of(config).model_type, model::model_type_of(config));
  }
}

}  // namespace
}  // namespace twofour::checkpoint
