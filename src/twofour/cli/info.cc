#include <fmt/format.h>

#include "twofour/base/parallel.h"
#include "twofour/cli/command.h"

namespace twofour::cli {

void add_info(CLI::App& program) {
  CLI::App& command = *program.add_subcommand("info", "what this machine and this build can do");
  add_threads_option(command);
  on_run(command, [] { fmt::print("threads {}\n", thread_count()); });
}

}  // namespace twofour::cli
