#include "twofour/model/qwen3/qwen3_config.h"

#include "twofour/base/error.h"
#include "twofour/model/config_parts.h"

namespace twofour::model {

void Qwen3Config::check() const {
  check_sizes(sizes_from(*this));
  if (head_width % 2 != 0) fail_usage("head width {} is odd, rotary angles turn pairs", head_width);
}

Qwen3Config read_qwen3(ConfigReader& reader) {
  Qwen3Config config;
  config.vocabulary = reader.size_unless_absent("vocab_size", config.vocabulary);
  config.context = reader.size_unless_absent("max_position_embeddings", config.context);
  config.width = reader.size_unless_absent("hidden_size", config.width);
  config.layers = layers_in(reader, "num_hidden_layers", config.layers);
  config.heads = reader.size_unless_absent("num_attention_heads", config.heads);
  config.feed_forward = reader.size_unless_absent("intermediate_size", config.feed_forward);
  config.key_value_heads = reader.is_absent("num_key_value_heads")
                               ? config.key_value_heads
                               : reader.size_or("num_key_value_heads", config.heads);
  config.head_width = reader.size_unless_absent("head_dim", config.head_width);
  config.rms_norm_epsilon = reader.positive("rms_norm_eps", config.rms_norm_epsilon);
  config.tied = reader.flag("tie_word_embeddings", false);
  config.attention_bias = reader.flag("attention_bias", false);
  reader.require("hidden_act", {"silu", "swish"});
  check_matrices(reader, "hidden_size", config.width,
                 {config.vocabulary, config.feed_forward, config.heads * config.head_width});
  check_divides(reader, "num_attention_heads", config.heads, "num_key_value_heads",
                config.key_value_heads);
  check_rotary_width(reader, "head_dim", config.head_width);
  config.rope = read_whole_rope(reader, config.context);
  check_layer_types(reader, config.layers);
  config.context = context_within(reader, qwen_window(reader, config.layers), config.context);
  return config;
}

nlohmann::ordered_json config_json(const Qwen3Config& config) {
  return {{"architectures", {"Qwen3ForCausalLM"}},
          {"model_type", "qwen3"},
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
          {"attention_bias", config.attention_bias},
          {"attention_dropout", 0.0},
          {"initializer_range", 0.02},
          {"sliding_window", nullptr},
          {"use_sliding_window", false},
          {"tie_word_embeddings", config.tied}};
}

}  // namespace twofour::model
