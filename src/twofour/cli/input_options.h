// Options for the text format of a command's inputs.
#pragma once

#include <CLI/CLI.hpp>

#include "twofour/text/documents.h"

namespace twofour::cli {

/// --input-format auto|text|jsonl|json and --text-field NAME.
void add_input_options(CLI::App& command, text::DocumentOptions& options);

}  // namespace twofour::cli
