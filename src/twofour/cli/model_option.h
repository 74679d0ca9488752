// --model and --strict: how every command that takes a model opens it.
#pragma once

#include <string>

#include <CLI/CLI.hpp>

#include "twofour/checkpoint/model_folder.h"

namespace twofour::cli {

struct ModelOption {
  std::string path;
  bool is_strict = false;
};

/// --model DIR and --strict. Returns the former.
CLI::Option* add_model_options(CLI::App& command, ModelOption& option);

/// --strict alone, where the model has no option of its own.
void add_strict_option(CLI::App& command, bool& is_strict);

/// Opens the model and logs its warnings and, of a run that is not finished, the step.
checkpoint::ModelFolder open_model(const ModelOption& option);

}  // namespace twofour::cli
