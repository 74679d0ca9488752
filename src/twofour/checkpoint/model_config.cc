#include "twofour/checkpoint/model_config.h"

#include <algorithm>
#include <cmath>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/checkpoint/config_fields.h"
#include "twofour/checkpoint/json_file.h"
#include "twofour/model/config_reader.h"
#include "twofour/tensor/dtype.h"

namespace twofour::checkpoint {
namespace {

using Json = nlohmann::json;
using model::ConfigReader;
using model::is_empty_value;

// A whole number or a list of whole numbers.
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

// Settings of generation_config.json that change even greedy text, and their neutral values.
std::vector<std::string> settings_not_applied(const Json& json) {
  const Json none = Json::array();
  const std::vector<std::pair<const char*, Json>> settings = {
      {"no_repeat_ngram_size", 0},
      {"encoder_no_repeat_ngram_size", 0},
      {"encoder_repetition_penalty", 1},
      {"bad_words_ids", none},
      {"suppress_tokens", none},
      {"begin_suppress_tokens", none},
      {"sequence_bias", none},
      {"forced_bos_token_id", nullptr},
      {"forced_eos_token_id", nullptr},
      {"exponential_decay_length_penalty", nullptr},
      {"min_length", 0},
      {"min_new_tokens", 0},
      {"stop_strings", none},
      {"num_beams", 1},
      {"constraints", none},
      {"force_words_ids", none},
      {"guidance_scale", 1},
      {"penalty_alpha", 0},
      {"dola_layers", nullptr},
      {"token_healing", false},
      {"watermarking_config", nullptr}};
  std::vector<std::string> names;
  for (const auto& [name, nothing] : settings) {
    if (json.contains(name) && !json[name].is_null() && json[name] != nothing)
      names.push_back(name);
  }
  return names;
}

std::string known_types() {
  std::vector<std::string_view> names;
  for (const model::Architecture& each : model::architectures()) names.push_back(each.model_type);
  return fmt::format("{}", fmt::join(names, ", "));
}

std::vector<std::string> classes_in(ConfigReader& reader) {
  std::vector<std::string> names;
  const Json& json = reader.any("architectures");
  for (const Json& name : json.is_array() ? json : Json::array({json})) {
    if (name.is_string()) names.push_back(name.get<std::string>());
  }
  return names;
}

const model::Architecture& architecture_in(ConfigReader& reader,
                                           const std::vector<std::string>& classes) {
  const std::string type = reader.text("model_type", "");
  if (const auto* found = model::find_architecture(type)) return *found;
  if (reader.has("model_type")) {
    reader.refuse("model_type", fmt::format("\"{}\" is not supported, expected one of {}",
                                            printable(type), known_types()));
  }
  // Old files lack it. transformers does not guess either.
  for (const model::Architecture& each : model::architectures()) {
    if (classes.empty() || !classes[0].starts_with(each.class_prefix)) continue;
    reader.refuse("model_type",
                  fmt::format("is missing: add \"{}\", as architectures says", each.model_type));
  }
  reader.refuse("model_type", fmt::format("is missing, expected one of {}", known_types()));
}

// transformers' AutoModelForCausalLM only uses model_type; the weights then decide.
void check_classes(ConfigReader& reader, const model::Architecture& architecture,
                   const std::vector<std::string>& names, bool is_strict,
                   std::vector<std::string>& warnings) {
  const std::string prefix(architecture.class_prefix);
  for (const std::string& name : names) {
    if (name == prefix + "ForCausalLM" || name == prefix + "Model" ||
        name == prefix + "LMHeadModel") {
      continue;
    }
    if (is_strict) {
      reader.refuse("architectures", fmt::format("\"{}\" is not supported", printable(name)));
    }
    warnings.push_back(fmt::format("architectures names \"{}\": it is taken as {}'s language model",
                                   printable(name), architecture.model_type));
  }
}

std::string quoted_list(const std::vector<std::string>& names) {
  std::vector<std::string> quoted;
  for (const std::string& name : names) quoted.push_back("\"" + printable(name) + "\"");
  return fmt::format("{}", fmt::join(quoted, ", "));
}

// Ignores the fields that transformers ignores, unless they sound as if they changed the
// computation.
void check_unknown(const ConfigReader& reader, const Json& json, bool is_strict,
                   std::vector<std::string>& warnings) {
  const std::vector<std::string> names = reader.unknown();
  for (const std::string& name : names) {
    if (is_strict || (suggests_arithmetic(name) && !is_empty_value(json[name]))) {
      reader.refuse_unknown(name);
    }
  }
  if (names.empty()) return;
  warnings.push_back(
      fmt::format("ignored, as transformers ignores what it does not know: {} (--strict refuses)",
                  quoted_list(names)));
}

}  // namespace

FolderConfig parse_config(std::string_view text, const std::string& path, bool is_strict) {
  const Json json = parse_python_object(text, path);
  const std::string what = fmt::format("cannot load \"{}\"", path);
  ConfigReader reader(json, what);
  FolderConfig config;
  const std::vector<std::string> classes = classes_in(reader);
  const model::Architecture& architecture = architecture_in(reader, classes);
  check_classes(reader, architecture, classes, is_strict, config.warnings);
  for (const ConfigField& field : config_fields()) {
    if (field.role == FieldRole::kFixed) reader.require(field.name, field.supported);
    if (field.role == FieldRole::kHarmless) reader.ignore({field.name});
  }
  reader.ignore({"bos_token_id", "eos_token_id"});
  config.compression = reader.any("quantization_config");
  config.model = architecture.read(reader);
  const std::vector<std::string>& of_fields = reader.warnings();
  config.warnings.insert(config.warnings.end(), of_fields.begin(), of_fields.end());
  check_unknown(reader, json, is_strict, config.warnings);
  for (std::string& warning : config.warnings) warning = fmt::format("\"{}\": {}", path, warning);
  config.special = special_ids(json);
  return config;
}

nlohmann::ordered_json config_json(const model::ModelConfig& config, const SpecialIds& special,
                                   at::ScalarType dtype) {
  auto json = model::config_json(config);
  json["torch_dtype"] = tensor::dtype_name(dtype);
  // null, because for absent fields transformers would assume the ids of the family's first model.
  json["bos_token_id"] = special.begin ? nlohmann::ordered_json(*special.begin) : nullptr;
  json["eos_token_id"] = nullptr;
  if (special.end.size() == 1) json["eos_token_id"] = special.end[0];
  if (special.end.size() > 1) json["eos_token_id"] = special.end;
  return json;
}

FolderConfig read_config(const fs::path& folder, bool is_strict) {
  const fs::path path = folder / "config.json";
  FolderConfig config = parse_config(read_file(path, kLargestSettings), path.string(), is_strict);
  const fs::path generation = folder / "generation_config.json";
  if (!fs::exists(generation)) return config;
  const Json json = read_json_object(generation);
  const SpecialIds special = special_ids(json);
  config.not_applied = settings_not_applied(json);
  const auto penalty = json.find("repetition_penalty");
  if (penalty != json.end() && !penalty->is_null() && *penalty != 1.0) {
    if (!penalty->is_number() || !(penalty->get<double>() > 0) ||
        std::isinf(penalty->get<double>())) {
      fail("cannot use \"{}\": repetition_penalty is {}, not a number above 0", generation.string(),
           model::text_of(*penalty));
    }
    config.repetition_penalty = penalty->get<double>();
  }
  if (special.begin) config.special.begin = special.begin;
  if (!special.end.empty()) config.special.end = special.end;
  return config;
}

}  // namespace twofour::checkpoint
