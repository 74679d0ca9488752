#include "twofour/model/gpt2/gpt2_config.h"

#include "twofour/base/error.h"
#include "twofour/model/config_parts.h"

namespace twofour::model {
namespace {

// GPT-2's fields also have a general name, which takes precedence.
std::string name_of(ConfigReader& reader, const char* own, const char* general) {
  reader.any(own);
  return reader.has(general) ? general : own;
}

}  // namespace

void Gpt2Config::check() const { check_sizes_of_whole_heads(sizes_from(*this)); }

Gpt2Config read_gpt2(ConfigReader& reader) {
  reader.require("tie_word_embeddings", {true});
  reader.require("activation_function",
                 {"gelu_new", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_fast"});
  const std::string width = name_of(reader, "n_embd", "hidden_size");
  const std::string heads = name_of(reader, "n_head", "num_attention_heads");
  const std::string layers = name_of(reader, "n_layer", "num_hidden_layers");
  const std::string context = name_of(reader, "n_positions", "max_position_embeddings");
  Gpt2Config config;
  config.vocabulary = reader.size_unless_absent("vocab_size", 50257);
  config.context = reader.size_unless_absent(context, 1024);
  config.width = reader.size_unless_absent(width, 768);
  config.layers = layers_in(reader, layers, 12);
  config.heads = reader.size_unless_absent(heads, 12);
  config.feed_forward = reader.size_or("n_inner", 4 * config.width);
  config.layer_norm_epsilon = reader.positive("layer_norm_epsilon", 1e-5);
  check_matrices(reader, width, config.width,
                 {config.vocabulary, config.context, config.feed_forward, 3 * config.width});
  check_divides(reader, width, config.width, heads, config.heads);
  return config;
}

nlohmann::ordered_json config_json(const Gpt2Config& config) {
  return {{"architectures", {"GPT2LMHeadModel"}},
          {"model_type", "gpt2"},
          {"vocab_size", config.vocabulary},
          {"n_positions", config.context},
          {"n_ctx", config.context},
          {"n_embd", config.width},
          {"n_layer", config.layers},
          {"n_head", config.heads},
          {"n_inner", config.feed_forward},
          {"activation_function", "gelu_new"},
          {"layer_norm_epsilon", config.layer_norm_epsilon},
          {"resid_pdrop", 0.0},
          {"embd_pdrop", 0.0},
          {"attn_pdrop", 0.0},
          {"initializer_range", 0.02},
          {"scale_attn_weights", true},
          {"tie_word_embeddings", true}};
}

}  // namespace twofour::model
