#include "twofour/checkpoint/family_config.h"

#include <algorithm>
#include <initializer_list>
#include <optional>

#include "twofour/base/error.h"

namespace twofour::checkpoint {
namespace {

using Json = nlohmann::json;
using model::RopeScaling;

// Beyond these a file could ask for more than can be described, let alone held.
constexpr int64_t kMostLayers = 10'000;
constexpr double kLargestMatrix = 1e14;

int64_t layers_in(ConfigReader& reader, const std::string& name, int64_t otherwise) {
  const int64_t layers = reader.size_unless_absent(name, otherwise);
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

// GPT-2's fields have a general name too, which goes first.
std::string name_of(ConfigReader& reader, const char* own, const char* general) {
  reader.any(own);
  return reader.has(general) ? general : own;
}

model::Gpt2Config read_gpt2(ConfigReader& reader) {
  reader.require("tie_word_embeddings", {true});
  const std::string width = name_of(reader, "n_embd", "hidden_size");
  const std::string heads = name_of(reader, "n_head", "num_attention_heads");
  const std::string layers = name_of(reader, "n_layer", "num_hidden_layers");
  const std::string context = name_of(reader, "n_positions", "max_position_embeddings");
  model::Gpt2Config config;
  config.vocabulary = reader.size_unless_absent("vocab_size", 50257);
  config.context = reader.size_unless_absent(context, 1024);
  config.width = reader.size_unless_absent(width, 768);
  config.layers = layers_in(reader, layers, 12);
  config.heads = reader.size_unless_absent(heads, 12);
  config.feed_forward = reader.size_or("n_inner", 4 * config.width);
  config.layer_norm_epsilon = reader.positive("layer_norm_epsilon", 1e-5);
  check_matrices(
      reader, width.c_str(), config.width,
      {static_cast<double>(config.vocabulary), static_cast<double>(config.context),
       static_cast<double>(config.feed_forward), 3.0 * static_cast<double>(config.width)});
  if (config.width % config.heads != 0) {
    reader.refuse(width,
                  fmt::format("{} is not divisible by {} {}", config.width, heads, config.heads));
  }
  return config;
}

// The scaling of rope_parameters (transformers 5) or rope_scaling (4), and what it says of theta.
RopeScaling read_rope_scaling(const Json& json, const std::string& what, const std::string& field,
                              int64_t original_context, double& theta) {
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
    scaling.original_context = reader.size_or("original_max_position_embeddings", original_context);
    if (scaling.low_frequency_factor >= scaling.high_frequency_factor) {
      reader.refuse("low_freq_factor", "is not below high_freq_factor");
    }
  } else if (type == "dynamic") {
    // It scales behind max_position_embeddings only, where no sequence goes here.
    reader.positive("factor");
  } else if (type != "default") {
    reader.refuse("rope_type", fmt::format("\"{}\" is not supported", printable(type)));
  }
  if (type != "llama3") reader.ignore({"original_max_position_embeddings"});
  reader.finish();
  return scaling;
}

// transformers 4 has rope_theta and rope_scaling, 5 puts both into rope_parameters. Where several
// say something, transformers lets rope_scaling win over rope_parameters, and what is in them over
// rope_theta.
void read_rope(ConfigReader& reader, const std::string& what, model::LlamaConfig& config) {
  config.rope_theta = reader.positive("rope_theta", 10000.0);
  const int64_t original = reader.size_or("original_max_position_embeddings", config.context);
  const bool is_original_given = reader.has("original_max_position_embeddings");
  const Json& scaling = reader.any("rope_scaling");
  const Json& parameters = reader.any("rope_parameters");
  const bool has_scaling = !is_empty_value(scaling);
  const Json& json = has_scaling ? scaling : parameters;
  if (is_empty_value(json)) return;
  const char* field = has_scaling ? "rope_scaling" : "rope_parameters";
  if (!json.is_object()) reader.refuse(field, "is no object");
  config.rope_scaling = read_rope_scaling(json, what, field, original, config.rope_theta);
  // Beside the object it wins over the one in it.
  if (is_original_given && config.rope_scaling.kind == RopeScaling::Kind::kLlama3) {
    config.rope_scaling.original_context = original;
  }
}

void check_layer_types(ConfigReader& reader, int64_t layers) {
  const Json& types = reader.any("layer_types");
  if (types.is_null()) return;
  if (!types.is_array()) reader.refuse("layer_types", "is no list");
  for (const Json& type : types) {
    if (type == "full_attention" || type == "attention") continue;
    reader.refuse("layer_types", fmt::format("{} is not supported", printable(type.dump())));
  }
  if (static_cast<int64_t>(types.size()) != layers) {
    reader.refuse("layer_types",
                  fmt::format("has {} entries, but num_hidden_layers is {}", types.size(), layers));
  }
}

// The window that some layer has; null for none.
Json window_of(ConfigReader& reader, const model::LlamaConfig& config) {
  // transformers takes an absent window, but not null, as 4096. LLaMA has none.
  const Json otherwise = config.family == "llama" ? Json() : Json(4096);
  const Json window = reader.is_absent("sliding_window") ? otherwise : reader.any("sliding_window");
  if (config.family == "mistral") return window;
  reader.any("sliding_window");
  const bool is_used = reader.flag("use_sliding_window", config.family == "llama");
  const int64_t first_layer = reader.size_or("max_window_layers", 28);
  const bool is_qwen = config.family == "qwen2";
  const bool has_full_layers_only =
      is_qwen && (reader.has("layer_types") || first_layer >= config.layers);
  return is_used && !has_full_layers_only ? window : Json();
}

// Attention over a window shorter than the context is not computed here.
void refuse_window(ConfigReader& reader, const model::LlamaConfig& config) {
  check_layer_types(reader, config.layers);
  const bool is_absent = reader.is_absent("sliding_window");
  const Json window = window_of(reader, config);
  if (window.is_null() || (window.is_number_integer() && window >= config.context)) return;
  reader.refuse(
      "sliding_window",
      fmt::format("{}{} is below the context of {}, which is not supported (null switches "
                  "it off)",
                  is_absent ? "is absent, which stands for " : "", printable(window.dump()),
                  config.context));
}

// What an absent field stands for in transformers.
struct LlamaDefaults {
  int64_t vocabulary, context, feed_forward;
  std::optional<int64_t> key_value_heads;  ///< none: as many as heads, which null means everywhere
};

LlamaDefaults defaults_of(const std::string& family) {
  if (family == "mistral") return {32000, 131072, 14336, 8};
  if (family == "qwen2") return {151936, 32768, 22016, 32};
  return {32000, 2048, 11008, std::nullopt};
}

void read_sizes(ConfigReader& reader, model::LlamaConfig& config) {
  const LlamaDefaults defaults = defaults_of(config.family);
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
  if (!reader.has("head_dim") && config.width % config.heads != 0) {
    reader.refuse("hidden_size", fmt::format("{} is not divisible by num_attention_heads {}",
                                             config.width, config.heads));
  }
  config.head_width = reader.size_or("head_dim", config.width / config.heads);
  check_matrices(reader, "hidden_size", config.width,
                 {static_cast<double>(config.vocabulary), static_cast<double>(config.feed_forward),
                  static_cast<double>(config.heads) * static_cast<double>(config.head_width)});
  if (config.heads % config.key_value_heads != 0) {
    reader.refuse("num_attention_heads",
                  fmt::format("{} is not divisible by num_key_value_heads {}", config.heads,
                              config.key_value_heads));
  }
  if (config.head_width % 2 != 0) {
    reader.refuse("head_dim",
                  fmt::format("{} is odd, rotary angles turn pairs", config.head_width));
  }
}

void read_biases(ConfigReader& reader, model::LlamaConfig& config) {
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

model::LlamaConfig read_llama(ConfigReader& reader, const std::string& what,
                              const std::string& family) {
  model::LlamaConfig config;
  config.family = family;
  read_sizes(reader, config);
  config.rms_norm_epsilon = reader.positive("rms_norm_eps", 1e-6);
  config.tied = reader.flag("tie_word_embeddings", false);
  read_biases(reader, config);
  read_rope(reader, what, config);
  refuse_window(reader, config);
  return config;
}

}  // namespace

model::ModelConfig read_family(ConfigReader& reader, const std::string& what,
                               const std::string& family) {
  if (family == "gpt2") return read_gpt2(reader);
  return read_llama(reader, what, family);
}

}  // namespace twofour::checkpoint
