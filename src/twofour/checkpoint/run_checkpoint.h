// The checkpoints of a training run: RUN/checkpoints/step-NNNNNNN/ with safetensors files and a
// state.json that lists them with their hashes.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "twofour/checkpoint/safetensors.h"

namespace twofour::checkpoint {

struct RunState {
  nlohmann::ordered_json state;                             ///< small values, kept in state.json
  std::vector<std::pair<std::string, NamedTensors>> files;  ///< file name -> its tensors
};

/// Writes the checkpoint of `step`; it appears complete or not at all, and only then all but the
/// newest `keep` (>= 1) disappear. The bytes depend on the arguments only. Throws Error, with every
/// older checkpoint untouched, when it cannot be written.
void save_checkpoint(const std::filesystem::path& run, int64_t step, const RunState& state,
                     int64_t keep);

/// The newest complete checkpoint's step; none for a folder without any.
std::optional<int64_t> latest_checkpoint(const std::filesystem::path& run);

/// Reads a checkpoint back; the tensors are views of the files. Every file's hash is compared
/// first: throws Error naming a missing or damaged file.
RunState load_checkpoint(const std::filesystem::path& run, int64_t step);

}  // namespace twofour::checkpoint
