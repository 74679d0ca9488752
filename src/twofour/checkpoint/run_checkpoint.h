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

/// Writes the checkpoint of `step`. It appears complete or not at all; then all but the newest
/// `keep` (>= 1) are removed. The bytes only depend on the arguments. Throws Error if it cannot be
/// written; older checkpoints are then unchanged.
void save_checkpoint(const std::filesystem::path& run, int64_t step, const RunState& state,
                     int64_t keep);

/// The steps of the complete checkpoints, oldest first.
std::vector<int64_t> checkpoint_steps(const std::filesystem::path& run);

/// Moves every checkpoint after `step`, complete or not, into a new folder RUN/checkpoints/aside-N
/// and returns it; none if there is nothing to move. A run can thus resume from an older checkpoint
/// without losing newer ones.
std::optional<std::filesystem::path> set_aside_after(const std::filesystem::path& run,
                                                     int64_t step);

/// The newest complete checkpoint's step; none for a folder without any.
std::optional<int64_t> latest_checkpoint(const std::filesystem::path& run);

/// Reads a checkpoint; the tensors are views of the files. Compares every file's hash first: throws
/// Error with a missing or damaged file and the checkpoint before this one.
RunState load_checkpoint(const std::filesystem::path& run, int64_t step);

/// RUN/checkpoints/step-NNNNNNN.
std::filesystem::path checkpoint_path(const std::filesystem::path& run, int64_t step);

/// The small values of the checkpoint in `folder`, and the files' hashes. Throws Error for a
/// missing or damaged state.json.
nlohmann::ordered_json read_state(const std::filesystem::path& folder);

/// A whole number of state.json; none if `object` lacks it.
std::optional<int64_t> number_in(const nlohmann::ordered_json& object, const std::string& name);

/// One of its files, after a check of its hash. Throws Error for a missing or damaged one.
SafetensorsFile open_checkpoint_file(const std::filesystem::path& folder,
                                     const nlohmann::ordered_json& state, const std::string& name);

}  // namespace twofour::checkpoint
