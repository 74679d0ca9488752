#include "twofour/prune/prune.h"

#include <limits>
#include <memory>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/base/progress.h"
#include "twofour/base/streams.h"
#include "twofour/cli/command.h"
#include "twofour/cli/eval_text.h"
#include "twofour/cli/help.h"
#include "twofour/cli/json_output.h"
#include "twofour/cli/prune_flags.h"
#include "twofour/eval/perplexity.h"
#include "twofour/prune/page.h"
#include "twofour/prune/pruned_folder.h"
#include "twofour/prune/record.h"
#include "twofour/text/token_file.h"

namespace twofour::cli {
namespace {

// Without ids if there are no files.
prune::Calibration calibration_of(const prune::PruneOptions& options) {
  if (options.calibration.files.empty()) return {};
  prune::CalibrationOptions calibration = options.calibration;
  std::optional<ProgressBar> bar;
  calibration.progress = [&](uint64_t done, uint64_t all) {
    if (!bar) bar.emplace("reading the calibration text", all);
    bar->update(done);
  };
  return prune::draw_calibration(calibration);
}

// By blocks, for models larger than memory.
double perplexity_of(const checkpoint::ModelFolder& folder, const std::vector<int64_t>& ids,
                     const prune::PruneOptions& options, bool uses_24_kernels) {
  eval::PerplexityOptions how;
  how.context = std::min(model::sizes_of(folder.config().model).context, int64_t{2048});
  const eval::StreamOptions stream = {options.dtype, uses_24_kernels, options.most_bytes};
  return eval::streamed_perplexity(folder, stream, ids, how).perplexity;
}

void save_samples(const std::string& file, const prune::Calibration& calibration,
                  int64_t vocabulary) {
  if (!calibration.ids.defined()) fail_usage("--save-samples needs --calibration FILE");
  text::TokenFileWriter writer(file, static_cast<int32_t>(vocabulary), "", true);
  const auto* ids = calibration.ids.const_data_ptr<int64_t>();
  const int64_t context = calibration.ids.size(1);
  for (int64_t sample = 0; sample < calibration.ids.size(0); ++sample) {
    const std::vector<int32_t> window(ids + sample * context, ids + (sample + 1) * context);
    writer.append(window);
    writer.end_document();
  }
  writer.commit();
}

void print_result(const PruneFlags& flags, const prune::PruneSummary& summary,
                  const std::optional<prune::Perplexities>& perplexities) {
  if (flags.json) {
    nlohmann::ordered_json json = {{"out", flags.out}};
    if (perplexities) {
      json["perplexity_before"] = perplexities->before;
      json["perplexity_after"] = nullptr;
      if (perplexities->after) json["perplexity_after"] = *perplexities->after;
    }
    json.update(prune::layers_json(summary.layers, summary.skipped));
    json["seconds"] = summary.seconds;
    print_json_line(json);
    return;
  }
  print_output("{}", prune::table_text(summary));
  if (perplexities) {
    print_output("perplexity {}{}\n", prune::text_of(*perplexities),
                 perplexities->after ? "" : ", and unchanged: --mask-only leaves the weights");
  }
  print_line("{}: {} layers pruned, {:.1f} % of their weights are {} ({})", flags.out,
             summary.layers.size(), 100 * prune::totals_of(summary.layers).share_of_zeros(),
             flags.mask_only ? "masked" : "zero", format_duration(summary.seconds));
}

void run_prune(const PruneFlags& flags, const CLI::App& command) {
  const checkpoint::ModelFolder folder = open_model(flags.model);
  const prune::PruneOptions options = prune_options(flags, command, folder);
  prune::check_combination(options);
  prune::check_place(options.out, options.resume);
  const bool evaluates = !flags.evaluate.empty();
  std::optional<prune::Perplexities> perplexities;
  EvalText text;
  if (evaluates) text = read_eval_text(flags.evaluate, folder, false, {});
  const prune::Calibration calibration = calibration_of(options);
  if (!flags.save_samples.empty() && !is_taken(flags.save_samples)) {
    save_samples(flags.save_samples, calibration, options.calibration.vocabulary);
  }
  if (evaluates) {
    perplexities = {flags.evaluate, perplexity_of(folder, text.ids, options, false), {}};
  }
  const prune::PruneSummary summary = [&] {
    const StopSignal stop_signal(prune::kStopMessages);
    return prune::prune(folder, options, calibration);
  }();
  if (evaluates && !flags.mask_only) {
    const checkpoint::ModelFolder pruned(options.out);
    perplexities->after = perplexity_of(pruned, text.ids, options, true);
  }
  if (!flags.report.empty()) write_file(flags.report, prune::make_page(summary, perplexities));
  ProgressBar::clear_line();
  print_result(flags, summary, perplexities);
}

}  // namespace

void add_prune(CLI::App& program) {
  CLI::App& command =
      *program.add_subcommand("prune", "make a trained model 2:4 sparse in one shot");
  auto flags = std::make_shared<PruneFlags>();
  add_prune_flags(command, *flags);
  set_example(command, "twofour prune --model gpt2 --out gpt2-24 --calibration c4.jsonl.gz");
  on_run(command, [flags, &command] { run_prune(*flags, command); });
}

}  // namespace twofour::cli
