// The options of a pre-training run as flags, shared by `train` and `tune-decay`.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include <CLI/CLI.hpp>

#include "twofour/cli/run_flags.h"

namespace twofour::cli {

/// The values of the flags before the method and the model's sizes are determined.
struct TrainFlags : RunFlags {
  std::string init, masks, teacher, model = "gpt2-124m", method = "dense", recipe;
  std::map<std::string, std::string> axes;  ///< train::axes() by name
  std::optional<int64_t> layers, heads, key_value_heads, width, context, feed_forward;
  int64_t vocabulary = 0;
};

/// Declares them, with --threads and --config. `flags` must outlive the command. Call it last.
void add_train_flags(CLI::App& command, TrainFlags& flags);

/// The options from the flags. Throws Error (usage) for missing or unknown values.
train::TrainOptions complete_options(const TrainFlags& flags);

/// The text of a run's config.toml. Paths are absolute, so it can be read from any folder.
std::string kept_config(CLI::App& command, const train::TrainOptions& options,
                        std::vector<std::string> leave_out = {});

}  // namespace twofour::cli
