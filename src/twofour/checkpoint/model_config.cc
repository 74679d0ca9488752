#include "twofour/checkpoint/model_config.h"

#include <algorithm>
#include <initializer_list>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/checkpoint/config_reader.h"
#include "twofour/checkpoint/json_file.h"
#include "twofour/sparse/dtype.h"

namespace twofour::checkpoint {
namespace {

using Json = nlohmann::json;
using model::RopeScaling;

// Fields of transformers' configurations that change nothing of what is computed here: names,
// training, output format, generation defaults.
const std::vector<std::string> kHarmless = {"architectures",
                                            "attention_dropout",
                                            "attn_pdrop",
                                            "auto_map",
                                            "bad_words_ids",
                                            "begin_suppress_tokens",
                                            "bos_token_id",
                                            "chunk_size_feed_forward",
                                            "decoder_start_token_id",
                                            "diversity_penalty",
                                            "do_sample",
                                            "dtype",
                                            "early_stopping",
                                            "embd_pdrop",
                                            "encoder_no_repeat_ngram_size",
                                            "eos_token_id",
                                            "exponential_decay_length_penalty",
                                            "finetuning_task",
                                            "forced_bos_token_id",
                                            "forced_eos_token_id",
                                            "gradient_checkpointing",
                                            "id2label",
                                            "initializer_range",
                                            "keys_to_ignore_at_inference",
                                            "label2id",
                                            "length_penalty",
                                            "max_length",
                                            "max_sequence_length",
                                            "max_window_layers",
                                            "min_length",
                                            "model_type",
                                            "no_repeat_ngram_size",
                                            "num_beam_groups",
                                            "num_beams",
                                            "num_return_sequences",
                                            "output_attentions",
                                            "output_hidden_states",
                                            "output_scores",
                                            "pad_token_id",
                                            "prefix",
                                            "pretraining_tp",
                                            "problem_type",
                                            "remove_invalid_values",
                                            "reorder_and_upcast_attn",
                                            "repetition_penalty",
                                            "resid_pdrop",
                                            "return_dict",
                                            "return_dict_in_generate",
                                            "sep_token_id",
                                            "summary_activation",
                                            "summary_first_dropout",
                                            "summary_proj_to_labels",
                                            "summary_type",
                                            "summary_use_proj",
                                            "suppress_tokens",
                                            "task_specific_params",
                                            "temperature",
                                            "tf_legacy_loss",
                                            "tokenizer_class",
                                            "top_k",
                                            "top_p",
                                            "torch_dtype",
                                            "torchscript",
                                            "transformers.js_config",
                                            "transformers_version",
                                            "typical_p",
                                            "unk_token_id",
                                            "use_bfloat16",
                                            "use_cache"};

// A whole number, or a list of them.
std::vector<int64_t> ids_of(const Json& value) {
  std::vector<int64_t> ids;
  for (const Json& id : value.is_array() ? value : Json::array({value})) {
    if (id.is_number_integer()) ids.push_back(id.get<int64_t>());
  }
  return ids;
}

SpecialIds special_ids(const Json& json) {
  SpecialIds special;
  if (json.contains("bos_token_id")) {
    const auto begin = ids_of(json["bos_token_id"]);
    if (!begin.empty()) special.begin = begin[0];
  }
  if (json.contains("eos_token_id")) special.end = ids_of(json["eos_token_id"]);
  return special;
}

// Settings of generation_config.json that change even greedy text, and the value that does nothing.
std::vector<std::string> settings_not_applied(const Json& json) {
  const std::vector<std::pair<const char*, Json>> settings = {
      {"repetition_penalty", 1.0},      {"no_repeat_ngram_size", 0},
      {"bad_words_ids", nullptr},       {"suppress_tokens", nullptr},
      {"forced_bos_token_id", nullptr}, {"begin_suppress_tokens", nullptr},
      {"forced_eos_token_id", nullptr}, {"min_length", 0},
      {"min_new_tokens", nullptr},      {"num_beams", 1},
      {"sequence_bias", nullptr}};
  std::vector<std::string> names;
  for (const auto& [name, nothing] : settings) {
    if (json.contains(name) && !json[name].is_null() && json[name] != nothing)
      names.push_back(name);
  }
  return names;
}

void check_architecture(ConfigReader& reader, const std::vector<Json>& known) {
  const Json& names = reader.any("architectures");
  if (names.is_null()) return;
  for (const Json& name : names.is_array() ? names : Json::array({names})) {
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      reader.refuse("architectures", fmt::format("{} is not supported", printable(name.dump())));
    }
  }
}

// What no architecture here has.
void require_plain(ConfigReader& reader) {
  reader.require("add_cross_attention", {false});
  reader.require("is_encoder_decoder", {false});
  reader.require("is_decoder", {false, true});
  reader.require("tie_encoder_decoder", {false});
  reader.require("pruned_heads", {Json::object()});
  reader.require("cross_attention_hidden_size", {});
}

// Beyond these a file could ask for more than can be described, let alone held.
constexpr int64_t kMostLayers = 10'000;
constexpr double kLargestMatrix = 1e14;

int64_t layers_in(ConfigReader& reader, const char* name) {
  const int64_t layers = reader.size(name);
  if (layers > kMostLayers) reader.refuse(name, fmt::format("is {}, which no model has", layers));
  return layers;
}

// `rows`: the largest of any matrix with so many columns.
void check_matrices(ConfigReader& reader, const char* name, int64_t columns,
                    std::initializer_list<double> rows) {
  const double largest = std::max(rows) * static_cast<double>(columns);
  if (largest <= kLargestMatrix) return;
  reader.refuse(
      name, fmt::format("{} makes a matrix of {} entries, which no model has", columns, largest));
}

model::Gpt2Config read_gpt2(ConfigReader& reader) {
  check_architecture(reader, {"GPT2LMHeadModel", "GPT2Model"});
  reader.require("activation_function", {"gelu_new", "gelu_pytorch_tanh"});
  reader.require("scale_attn_weights", {true});
  reader.require("scale_attn_by_inverse_layer_idx", {false});
  reader.require("tie_word_embeddings", {true});
  model::Gpt2Config config;
  config.vocabulary = reader.size("vocab_size");
  config.context = reader.size("n_positions");
  config.width = reader.size("n_embd");
  config.layers = layers_in(reader, "n_layer");
  config.heads = reader.size("n_head");
  config.feed_forward = reader.size_or("n_inner", 4 * config.width);
  config.layer_norm_epsilon = reader.positive("layer_norm_epsilon", 1e-5);
  reader.require("n_ctx", {config.context});
  check_matrices(
      reader, "n_embd", config.width,
      {static_cast<double>(config.vocabulary), static_cast<double>(config.context),
       static_cast<double>(config.feed_forward), 3.0 * static_cast<double>(config.width)});
  if (config.width % config.heads != 0) {
    reader.refuse("n_embd",
                  fmt::format("{} is not divisible by n_head {}", config.width, config.heads));
  }
  return config;
}

// `json`: rope_parameters (transformers 5) or rope_scaling (4). Sets what it says of theta.
RopeScaling read_rope(const Json& json, const std::string& what, const std::string& field,
                      int64_t context, double& theta) {
  RopeScaling scaling;
  ConfigReader reader(json, what, field + ".");
  const std::string older = reader.text("type", "default");
  const std::string type = reader.text("rope_type", older);
  theta = reader.positive("rope_theta", theta);
  reader.require("partial_rotary_factor", {1, 1.0});
  if (type == "linear") {
    scaling.kind = RopeScaling::Kind::kLinear;
    scaling.factor = reader.positive("factor");
  } else if (type == "llama3") {
    scaling.kind = RopeScaling::Kind::kLlama3;
    scaling.factor = reader.positive("factor");
    scaling.low_frequency_factor = reader.positive("low_freq_factor");
    scaling.high_frequency_factor = reader.positive("high_freq_factor");
    scaling.original_context = reader.size_or("original_max_position_embeddings", context);
    if (scaling.low_frequency_factor >= scaling.high_frequency_factor) {
      reader.refuse("low_freq_factor", "is not below high_freq_factor");
    }
  } else if (type != "default") {
    reader.refuse("rope_type", fmt::format("\"{}\" is not supported", printable(type)));
  }
  if (type != "llama3") reader.ignore({"original_max_position_embeddings"});
  reader.finish();
  return scaling;
}

void read_rope(ConfigReader& reader, const std::string& what, model::LlamaConfig& config) {
  const bool has_theta = reader.has("rope_theta");
  config.rope_theta = reader.positive("rope_theta", 10000.0);
  reader.require("partial_rotary_factor", {1, 1.0});
  reader.require("rope_interleaved", {false});
  reader.require("use_mrope", {false});
  std::string found;
  for (const char* field : {"rope_scaling", "rope_parameters"}) {
    const Json& json = reader.any(field);
    if (json.is_null() || json == Json::object()) continue;
    if (!json.is_object()) reader.refuse(field, "is no object");
    // transformers lets the older field win, whatever the newer one says.
    if (!found.empty()) reader.refuse(found, "and rope_parameters are both there: keep one");
    found = field;
    const double theta = config.rope_theta;
    config.rope_scaling = read_rope(json, what, field, config.context, config.rope_theta);
    if (has_theta && config.rope_theta != theta) {
      reader.refuse(found + ".rope_theta", "differs from rope_theta: keep one");
    }
  }
}

// Attention over a window shorter than the context is not computed here.
void refuse_window(ConfigReader& reader, const model::LlamaConfig& config) {
  const Json& types = reader.any("layer_types");
  for (const Json& type : types.is_array() ? types : Json::array()) {
    if (type != "full_attention") {
      reader.refuse("layer_types", fmt::format("{} is not supported", printable(type.dump())));
    }
  }
  if (config.family == "llama") {
    reader.require("use_sliding_window", {false});
    reader.require("sliding_window", {});
    return;
  }
  // transformers takes an absent window, but not null, as 4096.
  const bool is_absent = reader.is_absent("sliding_window");
  const Json window = is_absent ? Json(4096) : reader.any("sliding_window");
  if (config.family == "qwen2" && !reader.flag("use_sliding_window", false)) return;
  if (window.is_null() || (window.is_number_integer() && window >= config.context)) return;
  reader.refuse(
      "sliding_window",
      fmt::format("{}{} is below the context of {}, which is not supported (null switches "
                  "it off)",
                  is_absent ? "is absent, which stands for " : "", printable(window.dump()),
                  config.context));
}

model::LlamaConfig read_llama(ConfigReader& reader, const std::string& what,
                              const std::string& family) {
  const std::string name = family == "llama" ? "Llama" : family == "mistral" ? "Mistral" : "Qwen2";
  check_architecture(reader, {name + "ForCausalLM", name + "Model"});
  reader.require("hidden_act", {"silu", "swish"});
  model::LlamaConfig config;
  config.family = family;
  config.vocabulary = reader.size("vocab_size");
  config.context = reader.size("max_position_embeddings");
  config.width = reader.size("hidden_size");
  config.layers = layers_in(reader, "num_hidden_layers");
  config.heads = reader.size("num_attention_heads");
  // What an absent field, but not null, stands for in transformers.
  int64_t default_heads = config.heads;
  if (reader.is_absent("num_key_value_heads") && family == "mistral") default_heads = 8;
  if (reader.is_absent("num_key_value_heads") && family == "qwen2") default_heads = 32;
  config.key_value_heads = reader.size_or("num_key_value_heads", default_heads);
  if (!reader.has("head_dim") && config.width % config.heads != 0) {
    reader.refuse("hidden_size", fmt::format("{} is not divisible by num_attention_heads {}",
                                             config.width, config.heads));
  }
  config.head_width = reader.size_or("head_dim", config.width / config.heads);
  config.feed_forward = reader.size("intermediate_size");
  config.rms_norm_epsilon = reader.positive("rms_norm_eps", 1e-6);
  config.tied = reader.flag("tie_word_embeddings", false);
  const bool has_attention_bias = reader.flag("attention_bias", false);
  if (has_attention_bias && family != "llama") {
    reader.refuse("attention_bias", "true is not supported for " + family);
  }
  config.query_bias = has_attention_bias || family == "qwen2";
  config.attention_output_bias = has_attention_bias;
  config.feed_forward_bias = reader.flag("mlp_bias", false);
  if (config.feed_forward_bias && family != "llama") {
    reader.refuse("mlp_bias", "true is not supported for " + family);
  }
  reader.require("is_llama_config", {true});
  check_matrices(reader, "hidden_size", config.width,
                 {static_cast<double>(config.vocabulary), static_cast<double>(config.feed_forward),
                  static_cast<double>(config.heads) * static_cast<double>(config.head_width)});
  read_rope(reader, what, config);
  refuse_window(reader, config);
  if (config.heads % config.key_value_heads != 0) {
    reader.refuse("num_attention_heads",
                  fmt::format("{} is not divisible by num_key_value_heads {}", config.heads,
                              config.key_value_heads));
  }
  if (config.head_width % 2 != 0) {
    reader.refuse("head_dim",
                  fmt::format("{} is odd, rotary angles turn pairs", config.head_width));
  }
  return config;
}

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

FolderConfig parse_config(std::string_view text, const std::string& path) {
  const Json json = parse_json_object(text, path);
  const std::string what = fmt::format("cannot load \"{}\"", path);
  ConfigReader reader(json, what);
  const std::string type = reader.text("model_type", "");
  FolderConfig config;
  if (type == "gpt2") {
    config.model = read_gpt2(reader);
  } else if (type == "llama" || type == "mistral" || type == "qwen2") {
    config.model = read_llama(reader, what, type);
  } else {
    reader.refuse("model_type",
                  fmt::format("\"{}\" is not supported, expected gpt2, llama, mistral or qwen2",
                              printable(type)));
  }
  require_plain(reader);
  reader.ignore(kHarmless);
  config.compression = reader.any("quantization_config");
  reader.finish();
  config.special = special_ids(json);
  return config;
}

FolderConfig read_config(const fs::path& folder) {
  const fs::path path = folder / "config.json";
  FolderConfig config = parse_config(read_file(path, kLargestSettings), path.string());
  const fs::path generation = folder / "generation_config.json";
  if (!fs::exists(generation)) return config;
  const Json json = read_json_object(generation);
  const SpecialIds special = special_ids(json);
  config.not_applied = settings_not_applied(json);
  if (special.begin) config.special.begin = special.begin;
  if (!special.end.empty()) config.special.end = special.end;
  return config;
}

nlohmann::ordered_json config_json(const model::ModelConfig& config, const SpecialIds& special,
                                   at::ScalarType dtype) {
  auto json = std::visit([](const auto& each) { return describe(each); }, config);
  json["torch_dtype"] = sparse::dtype_name(dtype);
  // null, not absent: transformers would assume the ids of the family's first model.
  json["bos_token_id"] = special.begin ? nlohmann::ordered_json(*special.begin) : nullptr;
  json["eos_token_id"] = nullptr;
  if (special.end.size() == 1) json["eos_token_id"] = special.end[0];
  if (special.end.size() > 1) json["eos_token_id"] = special.end;
  return json;
}

}  // namespace twofour::checkpoint
