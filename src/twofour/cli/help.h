// The text of --help, from the declarations that also parse.
#pragma once

#include <string>

#include <CLI/CLI.hpp>

namespace twofour::cli {

/// Sets an example of `command`. The help prints it below the options, and beside the name in the
/// list of commands.
void set_example(CLI::App& command, const std::string& line);
std::string example_of(const CLI::App& command);

/// An option in the form of the help: "-v, --verbose", "--steps N", "FILES".
std::string option_name(const CLI::Option& option);

/// "twofour eval perplexity".
std::string full_name(const CLI::App& command);

/// The whole help of a command, of a group of commands, or of the program.
std::string help_of(const CLI::App& command);

}  // namespace twofour::cli
