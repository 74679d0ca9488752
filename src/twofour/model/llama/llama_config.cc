#include "twofour/model/llama/llama_config.h"

#include <optional>

#include "twofour/base/error.h"
#include "twofour/model/config_parts.h"

namespace twofour::model {
namespace {

// transformers' values for absent fields.
struct LlamaDefaults {
  int64_t vocabulary, context, feed_forward;
  std::optional<int64_t> key_value_heads;  ///< none: as many as heads, which null always means
};

LlamaDefaults llama_defaults(const std::string& family) {
  if (family == "mistral") return {32000, 131072, 14336, 8};
  if (family == "qwen2") return {151936, 32768, 22016, 32};
  return {32000, 2048, 11008, std::nullopt};
}

void read_sizes(ConfigReader& reader, LlamaConfig& config) {
  const LlamaDefaults defaults = llama_defaults(config.family);
  config.vocabulary = reader.size_unless_absent("vocab_size", defaults.vocabulary);
  config.context = reader.size_unless_absent("max_position_embeddings", defaults.context);
  config.width = reader.size_unless_absent("hidden_size", 4096);
  config.layers = layers_in(reader, "num_hidden_layers", 32);
  config.heads = reader.size_unless_absent("num_attention_heads", 32);
  config.feed_forward = reader.size_unless_absent("intermediate_size", defaults.feed_forward);
  const bool is_absent = reader.is_absent("num_key_value_heads");
  config.key_value_heads =
      reader.size_or("num_key_value_heads",
                     is_absent ? defaults.key_value_heads.value_or(config.heads) : config.heads);
  if (!reader.has("head_dim")) {
    check_divides(reader, "hidden_size", config.width, "num_attention_heads", config.heads);
  }
  config.head_width = reader.size_or("head_dim", config.width / config.heads);
  check_matrices(reader, "hidden_size", config.width,
                 {config.vocabulary, config.feed_forward, config.heads * config.head_width});
  check_divides(reader, "num_attention_heads", config.heads, "num_key_value_heads",
                config.key_value_heads);
  check_rotary_width(reader, "head_dim", config.head_width);
}

void read_biases(ConfigReader& reader, LlamaConfig& config) {
  const bool is_llama = config.family == "llama";
  for (const char* field : {"attention_bias", "mlp_bias"}) {
    if (reader.flag(field, false) && !is_llama) {
      reader.refuse(field, "true is not supported for " + config.family);
    }
  }
  config.attention_output_bias = reader.flag("attention_bias", false);
  config.query_bias = config.attention_output_bias || config.family == "qwen2";
  config.feed_forward_bias = reader.flag("mlp_bias", false);
}

// The sliding window of any layer; null if none. transformers replaces an absent one, but not null,
// by 4096; LLaMA only has an explicit one.
nlohmann::json window_of(ConfigReader& reader, const LlamaConfig& config) {
  if (config.family == "llama") {
    const nlohmann::json window = reader.any("sliding_window");
    const bool is_used = reader.flag("use_sliding_window", true);
    reader.any("max_window_layers");
    return is_used ? window : nlohmann::json();
  }
  if (config.family == "qwen2") return qwen_window(reader, config.layers);
  return reader.is_absent("sliding_window") ? nlohmann::json(4096) : reader.any("sliding_window");
}

}  // namespace

void LlamaConfig::check() const {
  check_sizes(sizes_from(*this));
  if (head_width % 2 != 0) fail_usage("head width {} is odd, rotary angles turn pairs", head_width);
}

LlamaConfig read_llama(ConfigReader& reader, const std::string& family) {
  LlamaConfig config;
  config.family = family;
  read_sizes(reader, config);
  reader.require("hidden_act", {"silu", "swish"});
  config.rms_norm_epsilon = reader.positive("rms_norm_eps", 1e-6);
  config.tied = reader.flag("tie_word_embeddings", false);
  read_biases(reader, config);
  config.rope = read_whole_rope(reader, config.context);
  check_layer_types(reader, config.layers);
  config.context = context_within(reader, window_of(reader, config), config.context);
  return config;
}

nlohmann::ordered_json config_json(const LlamaConfig& config) {
  const std::string& family = config.family;
  const std::string name = family == "llama" ? "Llama" : family == "mistral" ? "Mistral" : "Qwen2";
  nlohmann::ordered_json json = {{"architectures", {name + "ForCausalLM"}},
                                 {"model_type", family},
                                 {"vocab_size", config.vocabulary},
                                 {"max_position_embeddings", config.context},
                                 {"hidden_size", config.width},
                                 {"intermediate_size", config.feed_forward},
                                 {"num_hidden_layers", config.layers},
                                 {"num_attention_heads", config.heads},
                                 {"num_key_value_heads", config.key_value_heads},
                                 {"head_dim", config.head_width},
                                 {"hidden_act", "silu"},
                                 {"rms_norm_eps", config.rms_norm_epsilon},
                                 {"rope_theta", config.rope.theta},
                                 {"rope_scaling", scaling_json(config.rope.scaling)},
                                 {"attention_dropout", 0.0},
                                 {"initializer_range", 0.02},
                                 {"tie_word_embeddings", config.tied}};
  if (family == "llama") {
    json["attention_bias"] = config.attention_output_bias;
    json["mlp_bias"] = config.feed_forward_bias;
  } else {
    json["sliding_window"] = nullptr;
    if (family == "qwen2") json["use_sliding_window"] = false;
  }
  return json;
}

}  // namespace twofour::model
