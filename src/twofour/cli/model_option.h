// --model and --strict, for every command that opens a model.
#pragma once

#include <string>

#include <CLI/CLI.hpp>

#include "twofour/checkpoint/model_folder.h"

namespace twofour::cli {

struct ModelOption {
  std::string path;
  bool is_strict = false;
  std::string masks{};  ///< put on the model when it is read; empty: none
};

/// --model DIR and --strict. Returns the option --model.
CLI::Option* add_model_options(CLI::App& command, ModelOption& option);

/// --masks for a command that runs or writes the model with them.
CLI::Option* add_masks_option(CLI::App& command, ModelOption& option);

/// --strict alone, for a model without an option of its own.
void add_strict_option(CLI::App& command, bool& is_strict);

/// Opens the model and puts the masks on it. Logs its warnings, the step of an unfinished run, and
/// how many layers have no mask. Throws Error also for masks of another model, or of no linear
/// layer.
checkpoint::ModelFolder open_model(const ModelOption& option);

}  // namespace twofour::cli
