// Each subcommand is declared once, through CLI11. The declaration yields the parsing of flags and
// TOML config files, their checks (values.h), --help (help.h), --print-config and shell completion.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace twofour::cli {

// One function per file of this folder: it adds the subcommand, its options and its action to
// `program`.
void add_bench(CLI::App& program);
void add_completion(CLI::App& program);
void add_convert(CLI::App& program);
void add_data(CLI::App& program);
void add_eval(CLI::App& program);
void add_generate(CLI::App& program);
void add_info(CLI::App& program);
void add_learn(CLI::App& program);
void add_mask(CLI::App& program);
void add_prune(CLI::App& program);
void add_report(CLI::App& program);
void add_tokenizer(CLI::App& program);
void add_train(CLI::App& program);
void add_trim(CLI::App& program);
void add_tune_decay(CLI::App& program);

/// Runs `action` after all options are parsed, if `command` was chosen.
void on_run(CLI::App& command, std::function<void()> action);

/// --threads N and --verbose. Every command that computes declares them; they take effect before
/// the action.
void add_threads_option(CLI::App& command);

/// --dtype: the dtype of weights and activations.
void add_dtype_option(CLI::App& command, std::string& dtype);

/// --weights packed|dense: whether 2:4 layers may run on the 2:4 kernels.
void add_weights_option(CLI::App& command, std::string& weights);

/// The options that a user has set, by their long names.
struct GivenOptions {
  std::set<std::string> on_command_line;
  std::map<std::string, std::string> in_config;  ///< the first value of each
};

struct ConfigHooks {
  /// The file that replaces --config if that is not given; "" for none.
  std::function<std::string()> implicit_file;
  /// Runs after the file is read and before anything is printed. Sets options that depend on
  /// others, with set_option.
  std::function<void(const GivenOptions& given)> complete;
};

/// --config FILE (TOML; keys are the long option names) and --print-config, which prints the
/// effective options as TOML and runs nothing. Call it last.
void add_config_options(CLI::App& command, ConfigHooks hooks = {});

/// Sets an option as the command line does.
void set_option(CLI::App& command, const std::string& name, const std::string& value);
void set_option_if_unset(CLI::App& command, const std::string& name, const std::string& value);

/// The effective options of `command` as TOML, for --print-config and for a run folder. Options
/// named in `leave_out` (paths of this run) are not written.
std::string effective_config(const CLI::App& command,
                             const std::vector<std::string>& leave_out = {});

/// Parses the command line and runs the command. Returns the exit status: 0 success, 1 failure, 2
/// wrong usage. A failure prints one line on stderr. main.cc lists the commands.
using AddCommand = void (*)(CLI::App& program);
int run_program(int argc, const char* const* argv, const std::vector<AddCommand>& commands);

}  // namespace twofour::cli
