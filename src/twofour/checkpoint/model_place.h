// What --model may name: a model's folder, a training run, or a checkpoint of a run.
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

/// Finds the model at `path`: the folder itself, RUN/model of a run that is finished, the newest
/// checkpoint of one that is not, or RUN/checkpoints/step-N. Throws Error for anything else, saying
/// what it is and what to do: a file (of a folder, or in a format that `convert` reads or nobody
/// does), an adapter, a folder without weights, the name of a model on a hub.
ModelPlace find_model(const std::filesystem::path& path);

/// What the file at `path` is and what to do, where it names itself as a format that nothing here
/// reads as a model by itself (GGUF, pickled weights, arrays, safetensors); empty for any other.
std::string foreign_kind(const std::filesystem::path& path);

}  // namespace twofour::checkpoint
