// The options of the command prune.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "twofour/cli/model_option.h"
#include "twofour/prune/options.h"

namespace twofour::cli {

struct PruneFlags {
  ModelOption model;
  std::string out, method = "sparsegpt", pattern = "2:4", blocks, patterns_file;
  std::optional<double> sparsity;
  bool update_weights = false, no_update_weights = false, mask_only = false;
  std::vector<std::string> include, exclude, calibration;
  std::string sampling = "stream", inputs = "sequential", dtype, memory = "4G", sums = "float32";
  std::string tokenizer, largest_shard = "5GB";
  std::string reweight;  ///< empty: the default of the method
  bool published = false;
  std::string evaluate, report, save_samples;
  bool json = false;
  prune::PruneOptions options;  ///< those that need no conversion
};

void add_prune_flags(CLI::App& command, PruneFlags& flags);

/// The options for a model. Throws Error (usage) for values that contradict each other.
prune::PruneOptions prune_options(const PruneFlags& flags, const CLI::App& command,
                                  const checkpoint::ModelFolder& folder);

}  // namespace twofour::cli
