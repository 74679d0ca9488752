// --model and --strict, for every command that opens a model.
#pragma once

#include <string>

#include <CLI/CLI.hpp>

#include "twofour/checkpoint/model_folder.h"

namespace twofour::cli {

struct ModelOption {
  std::string path;
  bool is_strict = false;
};

/// --model DIR and --strict. Returns the option --model.
CLI::Option* add_model_options(CLI::App& command, ModelOption& option);

/// --strict alone, for a model without an option of its own.
void add_strict_option(CLI::App& command, bool& is_strict);

/// Opens the model. Logs its warnings, and the step of an unfinished run.
checkpoint::ModelFolder open_model(const ModelOption& option);

}  // namespace twofour::cli
