#include <memory>

#include <fmt/format.h>

#include "twofour/base/file.h"
#include "twofour/cli/command.h"
#include "twofour/report/page.h"
#include "twofour/report/table.h"

namespace twofour::cli {
namespace {

struct ReportFlags {
  std::vector<std::string> runs;
  std::string out;
  bool json = false;
};

void run_report(const ReportFlags& flags) {
  std::vector<report::RunLog> runs;
  for (const std::string& run : flags.runs) runs.push_back(report::read_run(run));
  if (!flags.out.empty()) write_file(flags.out, report::make_page(runs));
  if (flags.json) {
    fmt::print("{}\n", report::to_json(runs));
    return;
  }
  fmt::print("{}", report::to_text(report::compare(runs)));
  if (!flags.out.empty()) fmt::print("curves: {}\n", flags.out);
}

}  // namespace

void add_report(CLI::App& program) {
  CLI::App& command =
      *program.add_subcommand("report", "compare runs: a table, and curves as one HTML page");
  auto flags = std::make_shared<ReportFlags>();
  command.add_option("runs", flags->runs, "run folders")
      ->required()
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->type_name("RUNS");
  command.add_option("--out", flags->out, "the page to write")->type_name("FILE.html");
  command.add_flag("--json", flags->json, "print the table as one JSON object");
  on_run(command, [flags] { run_report(*flags); });
}

}  // namespace twofour::cli
