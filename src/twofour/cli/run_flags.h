// The flags that every kind of training run has: its folders, optimiser, output and budget.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include <CLI/CLI.hpp>

#include "twofour/cli/command.h"
#include "twofour/train/options.h"

namespace twofour::cli {

struct RunFlags {
  train::TrainOptions options;
  std::string data, out, resume_from, budget;
  std::optional<double> min_learning_rate;
};

/// --data, --out, --resume and --resume-from.
void add_run_folder_flags(CLI::App& command, RunFlags& flags);

/// --steps to --divergence-factor.
void add_optimizer_flags(CLI::App& command, RunFlags& flags);

/// --log-every to --stop-after.
void add_output_flags(CLI::App& command, RunFlags& flags);

/// --scale-to-budget.
void add_budget_flag(CLI::App& command, RunFlags& flags);

/// The steps for the budget's tokens with this context, as a share of the flags'; sets --steps.
/// Throws Error (usage) for a budget below one step or above the run's.
double scale_steps_to_budget(CLI::App& command, const RunFlags& flags, int64_t context,
                             const GivenOptions& given);

/// Reduces a number of steps in proportion, if the command line does not set it.
void shrink_steps(CLI::App& command, const std::string& name, double value, double share,
                  const GivenOptions& given);

/// --config, by default that of the run to resume, and --print-config. `fill_in` sets the options
/// that depend on others. Refuses options on the command line that have no effect. Call it last.
void add_run_config_options(CLI::App& command, RunFlags& flags,
                            std::function<void(const GivenOptions& given)> fill_in);

/// The data's folder, the run's and the lowest learning rate. Throws Error (usage) if a folder is
/// not given.
void complete_run(const RunFlags& flags, train::TrainOptions& options);

}  // namespace twofour::cli
