// config.json of a Hugging Face folder: the architecture and its sizes. Fields that are known to
// change a model's computation are applied or refused by name (config_fields.h).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "twofour/model/model.h"

namespace twofour::checkpoint {

/// The ids that begin and end texts, from config.json and generation_config.json.
struct SpecialIds {
  std::optional<int64_t> begin;
  std::vector<int64_t> end;
};

struct FolderConfig {
  model::ModelConfig model;
  SpecialIds special;
  /// quantization_config, if present: the storage of the weights. Not interpreted here.
  nlohmann::json compression;
  /// From generation_config.json, if it sets one.
  std::optional<double> repetition_penalty;
  /// Settings of generation_config.json, such as num_beams, that transformers' generate applies and
  /// this program's does not.
  std::vector<std::string> not_applied;
  /// Ignored fields that might matter, one line each.
  std::vector<std::string> warnings;
};

/// Reads FOLDER/config.json, and the special ids of generation_config.json, which take precedence.
/// Throws Error with the field for another architecture, an impossible size, an unsupported value,
/// and an unknown field whose name sounds like arithmetic (unless its value is null, false, 0 or
/// empty, or the name begins with "_"). `is_strict` refuses all unknown fields; otherwise they are
/// warnings.
FolderConfig read_config(const std::filesystem::path& folder, bool is_strict = false);

/// The same for the text of a config.json; `path` is used in messages.
FolderConfig parse_config(std::string_view text, const std::string& path, bool is_strict = false);

/// The config.json of a model with weights stored as `dtype`, for transformers 4 and 5.
nlohmann::ordered_json config_json(const model::ModelConfig& config, const SpecialIds& special,
                                   at::ScalarType dtype);

}  // namespace twofour::checkpoint
