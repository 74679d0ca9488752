#include "twofour/checkpoint/model_config.h"
#include "twofour/tensor/dtype.h"

namespace twofour::checkpoint {
namespace {

using model::RopeScaling;

nlohmann::ordered_json describe(const model::Gpt2Config& config) {
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

nlohmann::ordered_json describe(const RopeScaling& scaling) {
  switch (scaling.kind) {
    case RopeScaling::Kind::kLinear:
      return {{"rope_type", "linear"}, {"factor", scaling.factor}};
    case RopeScaling::Kind::kLlama3:
      return {{"rope_type", "llama3"},
              {"factor", scaling.factor},
              {"low_freq_factor", scaling.low_frequency_factor},
              {"high_freq_factor", scaling.high_frequency_factor},
              {"original_max_position_embeddings", scaling.original_context}};
    default:
      return nullptr;
  }
}

nlohmann::ordered_json describe(const model::LlamaConfig& config) {
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
                                 {"rope_theta", config.rope_theta},
                                 {"rope_scaling", describe(config.rope_scaling)},
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

}  // namespace

nlohmann::ordered_json config_json(const model::ModelConfig& config, const SpecialIds& special,
                                   at::ScalarType dtype) {
  auto json = std::visit([](const auto& each) { return describe(each); }, config);
  json["torch_dtype"] = tensor::dtype_name(dtype);
  // null, not absent: transformers would assume the ids of the family's first model.
  json["bos_token_id"] = special.begin ? nlohmann::ordered_json(*special.begin) : nullptr;
  json["eos_token_id"] = nullptr;
  if (special.end.size() == 1) json["eos_token_id"] = special.end[0];
  if (special.end.size() > 1) json["eos_token_id"] = special.end;
  return json;
}

}  // namespace twofour::checkpoint
