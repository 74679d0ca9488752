// config.json of a Hugging Face folder: which architecture, what sizes. Every field that is known
// to change what a model computes is either taken over or refused by its name (config_fields.h).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "twofour/model/model.h"

namespace twofour::checkpoint {

/// The ids that begin and end texts, as config.json and generation_config.json name them.
struct SpecialIds {
  std::optional<int64_t> begin;
  std::vector<int64_t> end;
};

struct FolderConfig {
  model::ModelConfig model;
  SpecialIds special;
  /// quantization_config, where there is one: how the weights are stored. Not interpreted here.
  nlohmann::json compression;
  /// generation_config.json's, where it sets one.
  std::optional<double> repetition_penalty;
  /// Settings of generation_config.json, such as num_beams, that transformers' generate would apply
  /// and this program's does not.
  std::vector<std::string> not_applied;
  /// What was ignored and might have meant something, one line each.
  std::vector<std::string> warnings;
};

/// Reads FOLDER/config.json (and the special ids of generation_config.json, which go first).
/// Throws Error naming the field: for another
/// architecture, an impossible size, a value that this program does not compute, and a field that
/// it does not know whose name sounds like arithmetic (unless its value is null, false, 0 or empty,
/// or the name begins with "_"). `is_strict` refuses all that it does not know; else they are
/// warnings.
FolderConfig read_config(const std::filesystem::path& folder, bool is_strict = false);

/// The same from the text of a config.json; `path` is for messages.
FolderConfig parse_config(std::string_view text, const std::string& path, bool is_strict = false);

/// The config.json of a model whose weights are stored as `dtype`, for transformers 4 and 5.
nlohmann::ordered_json config_json(const model::ModelConfig& config, const SpecialIds& special,
                                   at::ScalarType dtype);

}  // namespace twofour::checkpoint
