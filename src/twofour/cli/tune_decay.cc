// tune-decay: finds the λ of masked decay by short runs (train/tune_decay.h).
#include "twofour/train/tune_decay.h"

#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/base/streams.h"
#include "twofour/cli/fastest_dtype.h"
#include "twofour/cli/help.h"
#include "twofour/cli/json_output.h"
#include "twofour/cli/train_flags.h"
#include "twofour/cli/values.h"
#include "twofour/train/trainer.h"

namespace twofour::cli {
namespace {

struct TuneFlags {
  TrainFlags train;
  int64_t probe_steps = 0, most_runs = 8;
  bool json = false;
};

std::string fragment(const train::DecayProbe& best, const train::TrainOptions& options) {
  return fmt::format(
      "# twofour tune-decay: over steps {} to {} the masks flip {:.2f} times as often as the dense "
      "run's.\nmethod = \"{}\"\ndecay = {:.3g}\n",
      options.run.stop_after / 2 + 1, options.run.stop_after, best.ratio, options.model.method.name,
      best.decay);
}

void print_table(const train::DecaySearch& search) {
  print_output("{:>10}  {:>9}  {:>5}  {:>7}\n", "decay", "flip rate", "ratio", "loss");
  print_output("{:>10}  {:>9.5f}  {:>5}  {:>7.4f}\n", "dense", search.dense_flip_rate, "1",
               search.dense_loss);
  for (const train::DecayProbe& probe : search.probes) {
    print_output("{:>10.3g}  {:>9.5f}  {:>5.2f}  {:>7.4f}{}\n", probe.decay, probe.flip_rate,
                 probe.ratio, probe.loss, probe.is_healthy() ? "  <- in [0.60, 0.95]" : "");
  }
}

void print_search_json(const train::DecaySearch& search) {
  nlohmann::ordered_json json = {{"dense_flip_rate", search.dense_flip_rate},
                                 {"dense_loss", search.dense_loss},
                                 {"probes", nlohmann::ordered_json::array()}};
  for (const train::DecayProbe& probe : search.probes) {
    json["probes"].push_back({{"decay", probe.decay},
                              {"flip_rate", probe.flip_rate},
                              {"ratio", probe.ratio},
                              {"loss", probe.loss},
                              {"healthy", probe.is_healthy()}});
  }
  print_json_line(json);
}

void tune(const TuneFlags& flags, CLI::App& command) {
  train::TrainOptions options = complete_options(flags.train);
  settle_dtype(command, options);
  options = train::decay_probe_options(std::move(options), flags.probe_steps);
  static const StopSignal stop_signal(train::kStopMessages);
  // Every probe sets its own decay.
  const std::string config = kept_config(command, options, {"decay"});
  const train::DecaySearch search = train::search_decay(options, config, flags.most_runs);
  flags.json ? print_search_json(search) : print_table(search);
  if (!search.has_found()) {
    fail(
        "no decay in {} runs brought the ratio into [{:.2f}, {:.2f}]: try more --probe-steps or "
        "another --decay to begin with",
        flags.most_runs, train::kLowestFlipRatio, train::kHighestFlipRatio);
  }
  const fs::path file = options.run.out / "decay.toml";
  write_file(file, fragment(search.probes.back(), options));
  if (!flags.json) print_line("written: {}", file.string());
}

}  // namespace

void add_tune_decay(CLI::App& program) {
  CLI::App& command =
      *program.add_subcommand("tune-decay", "find the decay of sr-ste or fst by short runs");
  auto flags = std::make_shared<TuneFlags>();
  flags->train.method = "fst";
  add_number(command, "--probe-steps", flags->probe_steps, between(0, kMostSteps),
             "steps of each short run; 0 = one and a half warm-ups, at least a twentieth of the "
             "steps and four mask intervals");
  add_number(command, "--most-runs", flags->most_runs, between(1, 1000),
             "maximum number of short sparse runs");
  command.add_flag("--json", flags->json, "print one JSON object")->configurable(false);
  add_train_flags(command, flags->train);
  set_example(command, "twofour tune-decay --data data --out tune --method fst");
  on_run(command, [flags, &command] { tune(*flags, command); });
}

}  // namespace twofour::cli
