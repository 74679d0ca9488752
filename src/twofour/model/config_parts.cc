#include "twofour/model/config_parts.h"

#include <algorithm>

#include "twofour/base/error.h"

namespace twofour::model {
namespace {

using Json = nlohmann::json;

// Limits for sizes that could neither be described nor held.
constexpr int64_t kMostLayers = 10'000;
constexpr double kLargestMatrix = 1e14;

// Reads rope_parameters or rope_scaling; `fields` holds the values beside them.
void read_rope_object(ConfigReader reader, int64_t original_context, RopeFields& fields) {
  RopeScaling& scaling = fields.rope.scaling;
  const std::string older = reader.text("type", "default");
  const std::string type = reader.text("rope_type", older);
  fields.rope.theta = reader.positive("rope_theta", fields.rope.theta);
  fields.share = reader.positive("partial_rotary_factor", fields.share);
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
    // It only scales beyond max_position_embeddings, where no sequence is allowed.
    reader.positive("factor");
  } else if (type != "default") {
    reader.refuse("rope_type", fmt::format("\"{}\" is not supported", printable(type)));
  }
  if (type != "llama3") reader.ignore({"original_max_position_embeddings"});
  reader.finish();
}

}  // namespace

int64_t layers_in(ConfigReader& reader, const std::string& name, int64_t otherwise) {
  const int64_t layers = reader.size_unless_absent(name, otherwise);
  if (layers > kMostLayers) reader.refuse(name, fmt::format("is {}, which no model has", layers));
  return layers;
}

void check_matrices(const ConfigReader& reader, const std::string& name, int64_t columns,
                    std::initializer_list<int64_t> rows) {
  const double largest = static_cast<double>(std::max(rows)) * static_cast<double>(columns);
  if (largest <= kLargestMatrix) return;
  reader.refuse(
      name, fmt::format("{} makes a matrix of {} entries, which no model has", columns, largest));
}

void check_divides(const ConfigReader& reader, const std::string& name, int64_t value,
                   const std::string& divisor_name, int64_t divisor) {
  if (value % divisor == 0) return;
  reader.refuse(name, fmt::format("{} is not divisible by {} {}", value, divisor_name, divisor));
}

void check_rotary_width(const ConfigReader& reader, const std::string& name, int64_t width) {
  if (width % 2 == 0) return;
  reader.refuse(name, fmt::format("{} is odd, rotary angles turn pairs", width));
}

RopeFields read_rope(ConfigReader& reader, int64_t context, const RopeNames& names) {
  RopeFields fields;
  fields.rope.theta = reader.positive(names.theta, 10000.0);
  fields.share = reader.positive(names.share, names.default_share);
  const int64_t original = reader.size_or("original_max_position_embeddings", context);
  const bool is_original_given = reader.has("original_max_position_embeddings");
  const Json& scaling = reader.any("rope_scaling");
  const Json& parameters = reader.any("rope_parameters");
  const bool has_scaling = !is_empty_value(scaling);
  const Json& json = has_scaling ? scaling : parameters;
  if (is_empty_value(json)) return fields;
  const char* field = has_scaling ? "rope_scaling" : "rope_parameters";
  if (!json.is_object()) reader.refuse(field, "is no object");
  read_rope_object(reader.inner(field, json), original, fields);
  // The value beside the object takes precedence over the one in it.
  RopeScaling& read = fields.rope.scaling;
  if (is_original_given && read.kind == RopeScaling::Kind::kLlama3) {
    read.original_context = original;
  }
  return fields;
}

Rope read_whole_rope(ConfigReader& reader, int64_t context) {
  const RopeFields fields = read_rope(reader, context);
  if (fields.share != 1.0) {
    reader.refuse("partial_rotary_factor", fmt::format("{} is not supported", fields.share));
  }
  return fields.rope;
}

nlohmann::ordered_json scaling_json(const RopeScaling& scaling) {
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

void check_layer_types(ConfigReader& reader, int64_t layers) {
  const Json& types = reader.any("layer_types");
  if (types.is_null()) return;
  if (!types.is_array()) reader.refuse("layer_types", "is no list");
  for (const Json& type : types) {
    if (type == "full_attention" || type == "attention" || type == "sliding_attention") continue;
    reader.refuse("layer_types", fmt::format("{} is not supported", text_of(type)));
  }
  if (static_cast<int64_t>(types.size()) != layers) {
    reader.refuse("layer_types",
                  fmt::format("has {} entries, but num_hidden_layers is {}", types.size(), layers));
  }
}

Json qwen_window(ConfigReader& reader, int64_t layers) {
  const Json window =
      reader.is_absent("sliding_window") ? Json(4096) : reader.any("sliding_window");
  reader.any("sliding_window");
  const bool is_used = reader.flag("use_sliding_window", false);
  const int64_t first_layer = reader.size_or("max_window_layers", 28);
  const Json& types = reader.any("layer_types");
  const bool has_sliding_layers =
      types.is_array() ? std::find(types.begin(), types.end(), "sliding_attention") != types.end()
                       : first_layer < layers;
  return is_used && has_sliding_layers ? window : Json();
}

int64_t context_within(ConfigReader& reader, const Json& window, int64_t context) {
  if (window.is_null()) return context;
  if (!window.is_number_integer() || window <= 0) {
    reader.refuse("sliding_window",
                  fmt::format("is {}, expected a number of tokens or null", text_of(window)));
  }
  const auto tokens = window.get<int64_t>();
  if (tokens >= context) return context;
  reader.warn("sliding_window",
              fmt::format("{}{} is below the context of {}: sequences may have {} tokens at most",
                          reader.is_absent("sliding_window") ? "is absent, which stands for " : "",
                          tokens, context, tokens));
  return tokens;
}

}  // namespace twofour::model
