// The options of a mask-learning run as flags. --help names the published flag (MaskLLM's code) of
// those that have one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "twofour/cli/run_flags.h"
#include "twofour/learn/options.h"

namespace twofour::cli {

struct LearnFlags : RunFlags {
  LearnFlags();
  learn::LearnOptions learn;  ///< its `train` is filled from `options`
  std::string model, prior = "none", pattern = "2:4", logits = "float32", moments = "float32",
                     teacher, recipe;
  std::optional<int64_t> context;
};

/// Declares them, with --threads and --config. `flags` must outlive the command. Call it last.
void add_learn_flags(CLI::App& command, LearnFlags& flags);

/// The options from the flags; opens the model, the teacher's folder and the prior's file. Throws
/// Error (usage) for missing or unknown values.
learn::LearnOptions complete_options(const LearnFlags& flags);

/// The text of a run's config.toml, with absolute paths.
std::string kept_config(CLI::App& command, const learn::LearnOptions& options);

}  // namespace twofour::cli
