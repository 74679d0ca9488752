// The flags that every kind of training run has: its folders, optimiser, output and budget.
#pragma once

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

/// The step of --resume-from. Then the config file of the run to resume; empty: none.
std::string config_of_resumed_run(RunFlags& flags);

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

/// Refuses options on the command line that have no effect. A config may hold them for a later part
/// of a run.
void check_use(const train::TrainOptions& options, const GivenOptions& given);

/// Sets --dtype to the resumed run's, if it is `auto`.
void keep_dtype(CLI::App& command, const RunFlags& flags, const GivenOptions& given);

/// The data's folder, the run's and the lowest learning rate. Throws Error (usage) if a folder is
/// not given.
void complete_run(const RunFlags& flags, train::TrainOptions& options);

}  // namespace twofour::cli
