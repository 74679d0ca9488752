#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/base/streams.h"
#include "twofour/cli/command.h"
#include "twofour/cli/help.h"
#include "twofour/cli/values.h"
#include "twofour/report/average.h"
#include "twofour/report/chart.h"
#include "twofour/report/page.h"
#include "twofour/report/table.h"

namespace twofour::cli {
namespace {

struct ReportFlags {
  std::vector<std::string> runs;
  std::string out, chart;
  bool json = false, markdown = false, average_seeds = false;
};

// One chart as SVG.
std::string make_chart(const std::vector<report::RunLog>& runs, const std::string& curve) {
  const auto series = report::series_of(runs, curve);
  if (series.empty()) fail("no run has logged \"{}\"", curve);
  const auto& kinds = report::chart_kinds();
  const auto kind = std::find_if(kinds.begin(), kinds.end(), [&](const report::ChartKind& each) {
    return curve == each.curve;
  });
  return report::standalone_chart(kind->title, kind->unit, series, kind->logarithmic);
}

void run_report(const ReportFlags& flags) {
  if (!flags.chart.empty() && flags.out.empty()) fail_usage("--chart needs --out FILE.svg");
  std::vector<report::RunLog> runs;
  for (const std::string& run : flags.runs) runs.push_back(report::read_run(run));
  if (flags.average_seeds) runs = report::average_seeds(runs);
  if (!flags.out.empty()) {
    write_file(flags.out,
               flags.chart.empty() ? report::make_page(runs) : make_chart(runs, flags.chart));
  }
  if (flags.json) {
    print_output("{}\n", report::to_json(runs));
    return;
  }
  const auto shown = flags.markdown ? report::to_markdown : report::to_text;
  print_output("{}", shown(report::compare(runs)));
  const report::Table parts = report::compare_parts(runs);
  if (!parts.rows.empty()) print_output("\n{}", shown(parts));
  if (flags.out.empty() || flags.markdown) return;
  print_output("\n");
  print_line("written: {}; open it in a browser: file://{}", flags.out,
             fs::absolute(flags.out).lexically_normal().string());
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
  std::vector<std::string> curves;
  for (const report::ChartKind& kind : report::chart_kinds()) curves.emplace_back(kind.curve);
  add_choice(command, "--chart", flags->chart, curves, "write one curve as SVG to --out instead")
      ->type_name("CURVE");
  command.add_flag("--average-seeds", flags->average_seeds,
                   "runs that differ only in the seed count as one: mean ± standard deviation");
  command.add_flag("--markdown", flags->markdown, "print the tables as Markdown");
  command.add_flag("--json", flags->json, "print the table as one JSON object");
  set_example(command, "twofour report run --out report.html");
  on_run(command, [flags] { run_report(*flags); });
}

}  // namespace twofour::cli
