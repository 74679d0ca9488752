#include <algorithm>
#include <cstdio>
#include <new>

#include <CLI/CLI.hpp>

#include "twofour/base/error.h"
#include "twofour/base/log.h"
#include "twofour/base/parallel.h"
#include "twofour/base/progress.h"
#include "twofour/base/streams.h"
#include "twofour/cli/command.h"
#include "twofour/cli/help.h"
#include "twofour/cli/nearest.h"
#include "twofour/cli/values.h"

namespace twofour::cli {
namespace {

// The options' long names and the subcommands of `app`, as a user types them.
std::vector<std::string> known_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  return names;
}

const CLI::App& innermost(const CLI::App& app) {
  for (const CLI::App* command : app.get_subcommands({})) {
    if (command->parsed()) return innermost(*command);
  }
  return app;
}

bool has_commands(const CLI::App& app) { return !app.get_subcommands({}).empty(); }

// An unknown word, with the nearest name that `command` knows.
std::string unknown(const CLI::App& command, const std::string& extra) {
  const std::string typed = extra.substr(0, extra.find('='));
  const char* kind = typed.starts_with("-")  ? "option"
                     : has_commands(command) ? "command"
                                             : "argument";
  const std::string near = nearest(typed, known_names(command));
  return fmt::format("unknown {} \"{}\"{}", kind, printable(typed),
                     near.empty() ? "" : fmt::format(", did you mean \"{}\"?", near));
}

// The first missing required option of `command`, in the form of the help.
std::string missing(const CLI::App& command) {
  for (const CLI::Option* option : command.get_options()) {
    if (!option->get_required() || option->count() > 0) continue;
    return fmt::format("{} is required: {}", option_name(*option), option->get_description());
  }
  return "an option is required";
}

// CLI11's message as one line in this program's words.
std::string failure_reason(const CLI::App& program, const CLI::ParseError& error) {
  const CLI::App& command = innermost(program);
  const std::vector<std::string> extras = program.remaining(true);
  if (!extras.empty() && has_commands(command)) {
    const auto word = std::find_if(extras.begin(), extras.end(), [](const std::string& extra) {
      return !extra.starts_with("-");
    });
    return unknown(command, word == extras.end() ? extras.front() : *word);
  }
  if (dynamic_cast<const CLI::ExtrasError*>(&error)) return unknown(command, extras.front());
  if (dynamic_cast<const CLI::RequiredError*>(&error) && !has_commands(command)) {
    return missing(command);
  }
  std::string message = error.what();
  std::replace(message.begin(), message.end(), '\n', ' ');
  const size_t colon = message.find(": ");
  if (colon == std::string::npos) return message;
  const std::string name = message.substr(0, colon), rest = message.substr(colon + 2);
  if (dynamic_cast<const CLI::ValidationError*>(&error)) return name + " " + rest;
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error)) return name + " needs a value";
  return message;
}

// The advice depends on the options of the command.
std::string out_of_memory(const CLI::App& program) {
  const auto names = known_names(innermost(program));
  std::vector<std::string> smaller;
  for (const char* name : {"--batch", "--context", "--width", "--megabytes", "--tokens"}) {
    if (std::find(names.begin(), names.end(), name) != names.end()) smaller.emplace_back(name);
  }
  if (!smaller.empty()) return fmt::format("out of memory: try a smaller {}", either_of(smaller));
  if (std::find(names.begin(), names.end(), "--dtype") != names.end()) {
    return "out of memory: try --dtype bfloat16, or a machine with more";
  }
  return "out of memory: the machine has too little for this";
}

// Any other exception in one line. libtorch adds a stack trace after its first line.
std::string describe(const CLI::App& program, const std::exception& error) {
  const std::string text = error.what();
  const bool is_memory = dynamic_cast<const std::bad_alloc*>(&error) ||
                         text.find("DefaultCPUAllocator") != std::string::npos;
  return is_memory ? out_of_memory(program) : text.substr(0, text.find('\n'));
}

// Parses and runs the command, or prints the help or the version.
void parse_and_run(CLI::App& program, int argc, const char* const* argv) {
  try {
    program.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    const CLI::App& command = innermost(program);
    for (const std::string& extra : program.remaining(true)) {
      if (has_commands(command) && !extra.starts_with("-")) throw CLI::ExtrasError({extra});
    }
    write_output(help_of(command));
  } catch (const CLI::CallForVersion& version) {
    print_output("{}\n", version.what());
  } catch (const CLI::RequiredError&) {
    // A group without a command prints its commands.
    const CLI::App& group = innermost(program);
    if (!has_commands(group) || !program.remaining(true).empty()) throw;
    write_output(help_of(group));
  } catch (const CLI::Success&) {
    // The output is already printed.
  }
}

// A failure to write the message does not change the status.
int report(const std::string& message, int status) noexcept {
  ProgressBar::clear_line();
  try {
    write_message_line(fmt::format("twofour: {}", message));
  } catch (const std::exception&) {
    write_message("twofour: out of memory\n");
  }
  return status;
}

}  // namespace

void on_run(CLI::App& command, std::function<void()> action) {
  command.final_callback(std::move(action));
}

void add_weights_option(CLI::App& command, std::string& weights) {
  add_choice(command, "--weights", weights, {"packed", "dense"},
             "packed: 2:4 layers on 2:4 kernels where those are faster; dense: never");
}

void add_dtype_option(CLI::App& command, std::string& dtype) {
  add_dtype(command, "--dtype", dtype, "dtype of weights and activations");
}

void add_threads_option(CLI::App& command) {
  CLI::Option* threads = command.add_option_function<int>(
      "--threads", [](int count) { set_thread_count(count); },
      "threads to compute with (default: all cores)");
  check_range<int64_t>(threads, between(1, 1024));
  command
      .add_flag_callback(
          "-v,--verbose", [] { log_details(); }, "log details, such as which products run dense")
      ->configurable(false);
}

int run_program(int argc, const char* const* argv, const std::vector<AddCommand>& commands) {
  start_log();
  CLI::App program("pre-trains 2:4 sparse transformers, runs them and converts them", "twofour");
  program.set_version_flag("--version", "twofour " TWOFOUR_VERSION, "print the version");
  program.set_help_flag("-h,--help", "print this help");
  program.require_subcommand(1);
  program.option_defaults()->always_capture_default()->multi_option_policy(
      CLI::MultiOptionPolicy::TakeLast);
  for (const AddCommand add : commands) add(program);
  try {
    parse_and_run(program, argc, argv);
    flush_output();
    return 0;
  } catch (const CLI::ParseError& error) {
    return report(fmt::format("{} (see {} --help)", failure_reason(program, error),
                              full_name(innermost(program))),
                  Error::kUsage);
  } catch (const Error& error) {
    std::fflush(stdout);
    return report(error.what(), error.kind());
  } catch (const std::exception& error) {
    std::fflush(stdout);
    return report(describe(program, error), Error::kFailure);
  }
}

}  // namespace twofour::cli
