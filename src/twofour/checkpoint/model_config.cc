#include "twofour/checkpoint/model_config.h"

#include <algorithm>
#include <map>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/checkpoint/config_fields.h"
#include "twofour/checkpoint/config_reader.h"
#include "twofour/checkpoint/family_config.h"
#include "twofour/checkpoint/json_file.h"

namespace twofour::checkpoint {
namespace {

using Json = nlohmann::json;

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

// Each family and what the names of its classes begin with.
const std::map<std::string, std::string> kFamilies = {
    {"gpt2", "GPT2"}, {"llama", "Llama"}, {"mistral", "Mistral"}, {"qwen2", "Qwen2"}};

std::vector<std::string> architectures_of(ConfigReader& reader) {
  std::vector<std::string> names;
  const Json& json = reader.any("architectures");
  for (const Json& name : json.is_array() ? json : Json::array({json})) {
    if (name.is_string()) names.push_back(name.get<std::string>());
  }
  return names;
}

std::string family_of(ConfigReader& reader, const std::vector<std::string>& architectures) {
  const std::string family = reader.text("model_type", "");
  if (kFamilies.contains(family)) return family;
  if (reader.has("model_type")) {
    reader.refuse("model_type",
                  fmt::format("\"{}\" is not supported, expected gpt2, llama, mistral or qwen2",
                              printable(family)));
  }
  // As old files lack it; transformers guesses no more either.
  for (const auto& [name, classes] : kFamilies) {
    if (architectures.empty() || !architectures[0].starts_with(classes)) continue;
    reader.refuse("model_type", fmt::format("is missing: add \"{}\", as architectures says", name));
  }
  reader.refuse("model_type", "is missing, expected gpt2, llama, mistral or qwen2");
}

// transformers' AutoModelForCausalLM goes by model_type alone; what the weights hold decides then.
void check_architectures(ConfigReader& reader, const std::string& family,
                         const std::vector<std::string>& names, bool is_strict,
                         std::vector<std::string>& warnings) {
  const std::string& classes = kFamilies.at(family);
  for (const std::string& name : names) {
    if (name == classes + "ForCausalLM" || name == classes + "Model" ||
        name == classes + "LMHeadModel") {
      continue;
    }
    if (is_strict) {
      reader.refuse("architectures", fmt::format("\"{}\" is not supported", printable(name)));
    }
    warnings.push_back(fmt::format("architectures names \"{}\": it is taken as {}'s language model",
                                   printable(name), family));
  }
}

std::string list(const std::vector<std::string>& names) {
  std::vector<std::string> quoted;
  for (const std::string& name : names) quoted.push_back("\"" + printable(name) + "\"");
  return fmt::format("{}", fmt::join(quoted, ", "));
}

// What transformers ignores is ignored, unless it sounds as if it changed what is computed.
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
                  list(names)));
}

}  // namespace

FolderConfig parse_config(std::string_view text, const std::string& path, bool is_strict) {
  const Json json = parse_json_object(text, path);
  const std::string what = fmt::format("cannot load \"{}\"", path);
  ConfigReader reader(json, what);
  FolderConfig config;
  const std::vector<std::string> architectures = architectures_of(reader);
  const std::string family = family_of(reader, architectures);
  check_architectures(reader, family, architectures, is_strict, config.warnings);
  for (const ConfigField& field : config_fields()) {
    if (field.role == FieldRole::kFixed) reader.require(field.name, field.supported);
    if (field.role == FieldRole::kHarmless) reader.ignore({field.name});
  }
  reader.ignore({"bos_token_id", "eos_token_id"});
  config.compression = reader.any("quantization_config");
  config.model = read_family(reader, what, family);
  check_unknown(reader, json, is_strict, config.warnings);
  for (std::string& warning : config.warnings) warning = fmt::format("\"{}\": {}", path, warning);
  config.special = special_ids(json);
  return config;
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
    if (!penalty->is_number() || !(penalty->get<double>() > 0)) {
      fail("cannot use \"{}\": repetition_penalty is {}, not a number above 0", generation.string(),
           printable(penalty->dump()));
    }
    config.repetition_penalty = penalty->get<double>();
  }
  if (special.begin) config.special.begin = special.begin;
  if (!special.end.empty()) config.special.end = special.end;
  return config;
}

}  // namespace twofour::checkpoint
