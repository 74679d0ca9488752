#include "twofour/model/gpt_neox/gpt_neox_config.h"

#include "twofour/base/error.h"
#include "twofour/model/config_parts.h"

namespace twofour::model {

void GptNeoXConfig::check() const {
  check_sizes_of_whole_heads(sizes_from(*this));
  if (rotary_width % 2 != 0 || rotary_width <= 0 || rotary_width > width / heads) {
    fail_usage("rotary width {} is no even part of the head width {}", rotary_width, width / heads);
  }
}

GptNeoXConfig read_gpt_neox(ConfigReader& reader) {
  GptNeoXConfig config;
  config.vocabulary = reader.size_unless_absent("vocab_size", config.vocabulary);
  config.context = reader.size_unless_absent("max_position_embeddings", config.context);
  config.width = reader.size_unless_absent("hidden_size", config.width);
  config.layers = layers_in(reader, "num_hidden_layers", config.layers);
  config.heads = reader.size_unless_absent("num_attention_heads", config.heads);
  config.feed_forward = reader.size_unless_absent("intermediate_size", config.feed_forward);
  config.layer_norm_epsilon = reader.positive("layer_norm_eps", config.layer_norm_epsilon);
  config.has_parallel_residual = reader.flag("use_parallel_residual", true);
  config.has_attention_bias = reader.flag("attention_bias", true);
  config.tied = reader.flag("tie_word_embeddings", false);
  reader.require("hidden_act", {"gelu"});
  check_matrices(reader, "hidden_size", config.width,
                 {config.vocabulary, config.feed_forward, 3 * config.width});
  check_divides(reader, "hidden_size", config.width, "num_attention_heads", config.heads);
  const RopeFields rope =
      read_rope(reader, config.context,
                {.theta = "rotary_emb_base", .share = "rotary_pct", .default_share = 0.25});
  config.rope = rope.rope;
  if (rope.share > 1) reader.refuse("rotary_pct", fmt::format("{} is above 1", rope.share));
  config.rotary_width =
      static_cast<int64_t>(static_cast<double>(config.width / config.heads) * rope.share);
  if (config.rotary_width == 0)
    reader.refuse("rotary_pct", fmt::format("{} turns nothing", rope.share));
  check_rotary_width(reader, "rotary_pct", config.rotary_width);
  return config;
}

nlohmann::ordered_json config_json(const GptNeoXConfig& config) {
  const auto share =
      static_cast<double>(config.rotary_width) / static_cast<double>(config.width / config.heads);
  return {{"architectures", {"GPTNeoXForCausalLM"}},
          {"model_type", "gpt_neox"},
          {"vocab_size", config.vocabulary},
          {"max_position_embeddings", config.context},
          {"hidden_size", config.width},
          {"intermediate_size", config.feed_forward},
          {"num_hidden_layers", config.layers},
          {"num_attention_heads", config.heads},
          {"hidden_act", "gelu"},
          {"layer_norm_eps", config.layer_norm_epsilon},
          {"rotary_pct", share},
          {"rotary_emb_base", config.rope.theta},
          {"rope_scaling", scaling_json(config.rope.scaling)},
          {"use_parallel_residual", config.has_parallel_residual},
          {"attention_bias", config.has_attention_bias},
          {"attention_dropout", 0.0},
          {"hidden_dropout", 0.0},
          {"initializer_range", 0.02},
          {"tie_word_embeddings", config.tied}};
}

}  // namespace twofour::model
