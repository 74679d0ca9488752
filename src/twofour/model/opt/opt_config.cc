#include "twofour/model/opt/opt_config.h"

#include "twofour/base/error.h"
#include "twofour/model/config_parts.h"

namespace twofour::model {

void OptConfig::check() const {
  check_sizes_of_whole_heads(sizes_from(*this));
  if (embedding_width <= 0) fail_usage("embedding width must be positive, not {}", embedding_width);
}

OptConfig read_opt(ConfigReader& reader) {
  OptConfig config;
  config.vocabulary = reader.size_unless_absent("vocab_size", config.vocabulary);
  config.context = reader.size_unless_absent("max_position_embeddings", config.context);
  config.width = reader.size_unless_absent("hidden_size", config.width);
  config.layers = layers_in(reader, "num_hidden_layers", config.layers);
  config.heads = reader.size_unless_absent("num_attention_heads", config.heads);
  config.feed_forward = reader.size_unless_absent("ffn_dim", config.feed_forward);
  config.embedding_width = reader.size_or("word_embed_proj_dim", config.width);
  config.has_norms_first = reader.flag("do_layer_norm_before", true);
  const bool removes_last_norm = reader.flag("_remove_final_layer_norm", false);
  config.has_last_norm = config.has_norms_first && !removes_last_norm;
  config.has_biases = reader.flag("enable_bias", true);
  config.tied = reader.flag("tie_word_embeddings", true);
  reader.require("activation_function", {"relu"});
  reader.require("layer_norm_elementwise_affine", {true});
  check_matrices(reader, "hidden_size", config.width,
                 {config.vocabulary, config.context, config.feed_forward});
  check_matrices(reader, "word_embed_proj_dim", config.embedding_width,
                 {config.vocabulary, config.width});
  check_divides(reader, "hidden_size", config.width, "num_attention_heads", config.heads);
  return config;
}

nlohmann::ordered_json config_json(const OptConfig& config) {
  return {{"architectures", {"OPTForCausalLM"}},
          {"model_type", "opt"},
          {"vocab_size", config.vocabulary},
          {"max_position_embeddings", config.context},
          {"hidden_size", config.width},
          {"ffn_dim", config.feed_forward},
          {"num_hidden_layers", config.layers},
          {"num_attention_heads", config.heads},
          {"word_embed_proj_dim", config.embedding_width},
          {"do_layer_norm_before", config.has_norms_first},
          {"_remove_final_layer_norm", config.has_norms_first && !config.has_last_norm},
          {"enable_bias", config.has_biases},
          {"layer_norm_elementwise_affine", true},
          {"activation_function", "relu"},
          {"dropout", 0.0},
          {"attention_dropout", 0.0},
          {"layerdrop", 0.0},
          {"init_std", 0.02},
          {"tie_word_embeddings", config.tied}};
}

}  // namespace twofour::model
