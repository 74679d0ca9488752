// The options of a pre-training run as flags: what `train` and `tune-decay` share.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include <CLI/CLI.hpp>

#include "twofour/cli/command.h"
#include "twofour/train/options.h"

namespace twofour::cli {

/// What the flags say before the method and the model's sizes are put together.
struct TrainFlags {
  train::TrainOptions options;
  std::string data, out, init, masks, teacher, resume_from, model = "gpt2-124m", method = "dense",
                                                            recipe, budget;
  std::map<std::string, std::string> axes;  ///< train::axes() by their names
  std::optional<int64_t> layers, heads, key_value_heads, width, context, feed_forward;
  std::optional<double> min_learning_rate;
  int64_t vocabulary = 0;
};

/// Declares them, --threads and --config included. `flags` must outlive the command. Call it last.
void add_train_flags(CLI::App& command, TrainFlags& flags);

/// The options that the flags make. Throws Error (usage) for what is missing or unknown.
train::TrainOptions complete_options(const TrainFlags& flags);

/// What a run keeps as config.toml: readable from any folder, so that paths are absolute.
std::string kept_config(CLI::App& command, const train::TrainOptions& options,
                        std::vector<std::string> leave_out = {});

}  // namespace twofour::cli
