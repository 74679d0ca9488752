// Resolves --model: a model's folder, a training run, or a checkpoint of a run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace twofour::checkpoint {

struct ModelPlace {
  std::filesystem::path folder;     ///< with a config.json, or a checkpoint (run_weights.h)
  std::filesystem::path tokenizer;  ///< the folder of its tokenizer
  std::optional<int64_t> step;      ///< of a checkpoint: the steps done
  bool is_newest = false;           ///< of a checkpoint: the run was named, not the step
};

/// Finds the model at `path`: the folder itself, RUN/model of a finished run, the newest checkpoint
/// of an unfinished one, or RUN/checkpoints/step-N. Otherwise throws Error with the kind of the
/// path and advice: for a file (of a folder, or in a format that `convert` reads or nothing does),
/// an adapter, a folder without weights, the name of a model on a hub.
ModelPlace find_model(const std::filesystem::path& path);

/// The kind of the file at `path` and advice, if its format is known but not a model (GGUF, pickled
/// weights, arrays, safetensors); empty for any other.
std::string foreign_kind(const std::filesystem::path& path);

}  // namespace twofour::checkpoint
