// tune-decay: the λ of masked decay by short runs (FST, arXiv 2404.01847, section 4.3): the flip
// rate of the sparse run, divided by that of the dense run whose masks are only watched, must lie
// in [0.60, 0.95].
#include <cmath>
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/base/folder_lock.h"
#include "twofour/base/log.h"
#include "twofour/base/streams.h"
#include "twofour/checkpoint/run_checkpoint.h"
#include "twofour/cli/fastest_dtype.h"
#include "twofour/cli/help.h"
#include "twofour/cli/train_flags.h"
#include "twofour/cli/values.h"
#include "twofour/report/run_log.h"
#include "twofour/train/stop_signal.h"
#include "twofour/train/trainer.h"

namespace twofour::cli {
namespace {

constexpr double kLowest = 0.60, kHighest = 0.95;  // of a healthy ratio

struct TuneFlags {
  TrainFlags train;
  int64_t probe_steps = 0, most_runs = 8;
  bool json = false;
};

struct Probe {
  double decay, flip_rate, ratio, loss;
  bool is_healthy() const { return ratio >= kLowest && ratio <= kHighest; }
};

// Runs the first `stop_after` steps in OUT/name, or what is left of them.
void run_probe(train::TrainOptions options, const std::string& name, const std::string& config) {
  options.out /= name;
  const auto done = checkpoint::latest_checkpoint(options.out);
  if (done.value_or(0) > options.stop_after) {
    fail_usage("--probe-steps {} is less than the {} that \"{}\" has done: choose another --out",
               options.stop_after, *done, options.out.string());
  }
  options.resume = done.has_value();
  options.quiet = true;
  options.may_change = false;  // a probe made with other options is no probe of these
  options.sample_every = 0;
  options.sample_prompt.clear();
  train::train(options, config);
}

// Means over the second half of a probe.
double mean_of(const report::RunLog& run, const std::string& curve, int64_t first_step) {
  double sum = 0.0;
  int64_t count = 0;
  const auto found = run.curves.find(curve);
  if (found != run.curves.end()) {
    for (const report::Point& point : found->second) {
      if (point.step < static_cast<double>(first_step)) continue;
      sum += point.value;
      ++count;
    }
  }
  if (count == 0) {
    fail("the log of the probe \"{}\" has no {} from step {} on: remove its folder to repeat it",
         run.name, curve, first_step);
  }
  return sum / static_cast<double>(count);
}

class Tuner {
 public:
  Tuner(const train::TrainOptions& options, std::string config, int64_t most_runs)
      : options_(options), config_(std::move(config)), most_runs_(most_runs) {}

  void watch_dense() {
    train::TrainOptions options = options_;
    const train::Method& sparse = options_.method;
    options.method = train::method_named("dense");
    options.method.beta2 = sparse.beta2;
    options.method.mask_interval = sparse.mask_interval;
    options.method.layers = sparse.layers;
    options.method.watched_masks = sparse.forward_weight == train::ForwardWeight::kTransposable
                                       ? train::WatchedMasks::kTransposable
                                       : train::WatchedMasks::kMagnitude;
    run_probe(options, "dense", config_);
    const report::RunLog log = report::read_run(options_.out / "dense");
    dense_flip_rate_ = mean_of(log, "flip_rate", first_step());
    dense_loss_ = mean_of(log, "loss", first_step());
    if (!(dense_flip_rate_ > 0)) {
      fail(
          "no mask of the dense run flipped in {} steps: raise --probe-steps above the mask "
          "interval {}",
          options_.stop_after, sparse.mask_interval);
    }
  }

  // By factors of four until two λ lie on both sides, then by their geometric mean.
  void search(double decay) {
    double low = 0, high = 0;  // λ with too high and too low a ratio; 0 = none yet
    while (static_cast<int64_t>(probes_.size()) < most_runs_) {
      const Probe probe = measure(decay);
      probes_.push_back(probe);
      if (probe.is_healthy()) return;
      (probe.ratio > kHighest ? low : high) = decay;
      decay = low > 0 && high > 0 ? std::sqrt(low * high) : low > 0 ? decay * 4 : decay / 4;
    }
  }

  const std::vector<Probe>& probes() const { return probes_; }
  double dense_flip_rate() const { return dense_flip_rate_; }
  double dense_loss() const { return dense_loss_; }

 private:
  int64_t first_step() const { return options_.stop_after / 2 + 1; }

  Probe measure(double decay) {
    train::TrainOptions options = options_;
    options.method.decay = decay;
    const std::string name = fmt::format("decay-{:.3g}", decay);
    spdlog::info("{} steps with decay {:.3g}", options.stop_after, decay);
    run_probe(options, name, config_ + fmt::format("decay = {}\n", decay));
    const report::RunLog log = report::read_run(options_.out / name);
    const double flip_rate = mean_of(log, "flip_rate", first_step());
    return {decay, flip_rate, flip_rate / dense_flip_rate_, mean_of(log, "loss", first_step())};
  }

  train::TrainOptions options_;
  std::string config_;
  int64_t most_runs_;
  double dense_flip_rate_ = 0, dense_loss_ = 0;
  std::vector<Probe> probes_;
};

train::TrainOptions probe_options(const TuneFlags& flags, CLI::App& command) {
  train::TrainOptions options = complete_options(flags.train);
  settle_dtype(command, options);
  if (!options.method.is_sparse() || options.method.decay == 0) {
    fail_usage(
        "tune-decay needs a method with masked decay, as sr-ste or fst: --method {} has none",
        options.method.name);
  }
  if (options.method.mask_interval == 0) {
    fail_usage("tune-decay needs masks that can flip: --mask-interval is 0");
  }
  const int64_t least = 4 * options.method.mask_interval;
  options.stop_after = flags.probe_steps;
  if (options.stop_after == 0) {
    options.stop_after = std::max({least, options.warmup + options.warmup / 2, options.steps / 20});
  }
  options.stop_after = std::min(options.stop_after, options.steps);
  if (options.stop_after < least) {
    fail_usage("--probe-steps {} is too short: at least {}, four mask intervals",
               options.stop_after, least);
  }
  options.log_every = 1;
  options.validate_every = 0;
  options.keep = 1;
  return options;
}

std::string fragment(const Probe& best, const train::TrainOptions& options) {
  return fmt::format(
      "# twofour tune-decay: over steps {} to {} the masks flip {:.2f} times as often as the dense "
      "run's.\nmethod = \"{}\"\ndecay = {:.3g}\n",
      options.stop_after / 2 + 1, options.stop_after, best.ratio, options.method.name, best.decay);
}

void print_table(const Tuner& tuner) {
  print_output("{:>10}  {:>9}  {:>5}  {:>7}\n", "decay", "flip rate", "ratio", "loss");
  print_output("{:>10}  {:>9.5f}  {:>5}  {:>7.4f}\n", "dense", tuner.dense_flip_rate(), "1",
               tuner.dense_loss());
  for (const Probe& probe : tuner.probes()) {
    print_output("{:>10.3g}  {:>9.5f}  {:>5.2f}  {:>7.4f}{}\n", probe.decay, probe.flip_rate,
                 probe.ratio, probe.loss, probe.is_healthy() ? "  <- in [0.60, 0.95]" : "");
  }
}

void print_json(const Tuner& tuner) {
  nlohmann::ordered_json json = {{"dense_flip_rate", tuner.dense_flip_rate()},
                                 {"dense_loss", tuner.dense_loss()},
                                 {"probes", nlohmann::ordered_json::array()}};
  for (const Probe& probe : tuner.probes()) {
    json["probes"].push_back({{"decay", probe.decay},
                              {"flip_rate", probe.flip_rate},
                              {"ratio", probe.ratio},
                              {"loss", probe.loss},
                              {"healthy", probe.is_healthy()}});
  }
  print_output("{}\n", json.dump());
}

void tune(const TuneFlags& flags, CLI::App& command) {
  const train::TrainOptions options = probe_options(flags, command);
  static const train::StopSignal stop_signal;
  const FolderLock lock(options.out);
  // Every probe adds its own decay.
  Tuner tuner(options, kept_config(command, options, {"decay"}), flags.most_runs);
  spdlog::info("{} dense steps with masks watched", options.stop_after);
  tuner.watch_dense();
  tuner.search(options.method.decay);
  flags.json ? print_json(tuner) : print_table(tuner);
  const Probe& best = tuner.probes().back();
  if (!best.is_healthy()) {
    fail(
        "no decay in {} runs brought the ratio into [{:.2f}, {:.2f}]: try more --probe-steps or "
        "another --decay to begin with",
        flags.most_runs, kLowest, kHighest);
  }
  const fs::path file = options.out / "decay.toml";
  write_file(file, fragment(best, options));
  if (!flags.json) print_output("written: {}\n", file.string());
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
             "short sparse runs at most");
  command.add_flag("--json", flags->json, "print one JSON object")->configurable(false);
  add_train_flags(command, flags->train);
  set_example(command, "twofour tune-decay --data data --out tune --method fst");
  on_run(command, [flags, &command] { tune(*flags, command); });
}

}  // namespace twofour::cli
