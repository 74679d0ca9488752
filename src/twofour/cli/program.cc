#include <algorithm>
#include <cstdio>
#include <new>

#include <CLI/CLI.hpp>

#include "twofour/base/error.h"
#include "twofour/base/log.h"
#include "twofour/base/parallel.h"
#include "twofour/base/progress.h"
#include "twofour/cli/command.h"
#include "twofour/cli/nearest.h"

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

std::string full_name(const CLI::App& app) {
  const CLI::App* parent = app.get_parent();
  return parent ? full_name(*parent) + " " + app.get_name() : app.get_name();
}

// CLI11's message as one line that names the command, and the nearest known name for one unknown.
std::string describe(const CLI::App& program, const CLI::ParseError& error) {
  const CLI::App& command = innermost(program);
  std::string message = error.what();
  std::replace(message.begin(), message.end(), '\n', ' ');
  const auto extras = program.remaining(true);
  const bool lacks_command = !command.get_subcommands({}).empty();
  const bool is_unknown = dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr;
  if ((is_unknown || lacks_command) && !extras.empty()) {
    const std::string typed = extras.front().substr(0, extras.front().find('='));
    const bool is_option = typed.starts_with("-");
    const char* kind = is_option ? "option" : lacks_command ? "command" : "argument";
    message = fmt::format("unknown {} \"{}\"", kind, printable(typed));
    const std::string near = nearest(typed, known_names(command));
    if (!near.empty()) message += fmt::format(", did you mean \"{}\"?", near);
  }
  return fmt::format("{} (see {} --help)", message, full_name(command));
}

constexpr const char* kOutOfMemory = "out of memory: try a smaller batch, context or model";

// Any other exception in one line: libtorch's carry a stack trace after the first.
std::string describe(const std::exception& error) {
  const std::string text = error.what();
  if (text.find("DefaultCPUAllocator") != std::string::npos) return kOutOfMemory;
  return text.substr(0, text.find('\n'));
}

int report(const std::string& message, int status) {
  ProgressBar::clear_line();
  std::fflush(stdout);
  fmt::print(stderr, "twofour: {}\n", message);
  return status;
}

}  // namespace

void on_run(CLI::App& command, std::function<void()> action) {
  command.final_callback(std::move(action));
}

void add_weights_option(CLI::App& command, std::string& weights) {
  command
      .add_option("--weights", weights,
                  "packed: 2:4 layers on 2:4 kernels where those are faster; dense: never")
      ->check(CLI::IsMember({"packed", "dense"}))
      ->type_name("W");
}

void add_dtype_option(CLI::App& command, std::string& dtype) {
  command.add_option("--dtype", dtype, "float32, bfloat16 or float16")
      ->check(CLI::IsMember({"float32", "bfloat16", "float16"}))
      ->type_name("T");
}

void add_threads_option(CLI::App& command) {
  command
      .add_option_function<int>(
          "--threads", [](int threads) { set_thread_count(threads); },
          "threads to compute with (default: all cores)")
      ->check(CLI::Range(1, 1024))
      ->type_name("N");
}

int run_program(int argc, const char* const* argv, const std::vector<AddCommand>& commands) {
  start_log();
  CLI::App program("Makes transformers 2:4 sparse: pre-training, pruning, learned masks.",
                   "twofour");
  program.set_version_flag("--version", "twofour " TWOFOUR_VERSION);
  program.require_subcommand(1);
  program.get_formatter()->column_width(34);
  program.option_defaults()->always_capture_default()->multi_option_policy(
      CLI::MultiOptionPolicy::TakeLast);
  for (const AddCommand add : commands) add(program);
  try {
    program.parse(argc, argv);
    if (std::fflush(stdout) != 0) fail("cannot write to the standard output");
    return 0;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return program.exit(error);
    return report(describe(program, error), Error::kUsage);
  } catch (const Error& error) {
    return report(error.what(), error.kind());
  } catch (const std::bad_alloc&) {
    return report(kOutOfMemory, Error::kFailure);
  } catch (const std::exception& error) {
    return report(describe(error), Error::kFailure);
  }
}

}  // namespace twofour::cli
