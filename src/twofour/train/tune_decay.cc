#include "twofour/train/tune_decay.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "twofour/base/error.h"
#include "twofour/base/folder_lock.h"
#include "twofour/base/log.h"
#include "twofour/checkpoint/run_checkpoint.h"
#include "twofour/report/run_log.h"
#include "twofour/train/trainer.h"

namespace twofour::train {
namespace {

// Runs the first `stop_after` steps in OUT/name, or the rest of them.
report::RunLog run_probe(TrainOptions options, const std::string& name, const std::string& config) {
  options.run.out /= name;
  const auto done = checkpoint::latest_checkpoint(options.run.out);
  if (done.value_or(0) > options.run.stop_after) {
    fail_usage("--probe-steps {} is less than the {} that \"{}\" has done: choose another --out",
               options.run.stop_after, *done, options.run.out.string());
  }
  options.run.resume = done.has_value();
  options.run.quiet = true;
  options.run.may_change = false;  // all probes must have the same options
  options.run.sample_every = 0;
  options.run.sample_prompt.clear();
  train(options, config);
  return report::read_run(options.run.out);
}

// The mean over the second half of a probe.
double mean_of(const report::RunLog& run, const std::string& curve, const TrainOptions& options) {
  const int64_t first_step = options.run.stop_after / 2 + 1;
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

// A dense run that watches the masks of `options`.
TrainOptions watching_dense(TrainOptions options) {
  const Method sparse = options.model.method;
  options.model.method = method_named("dense");
  options.model.method.beta2 = sparse.beta2;
  options.model.method.mask_interval = sparse.mask_interval;
  options.model.method.layers = sparse.layers;
  options.model.method.watched_masks = sparse.forward_weight == ForwardWeight::kTransposable
                                           ? WatchedMasks::kTransposable
                                           : WatchedMasks::kMagnitude;
  return options;
}

}  // namespace

TrainOptions decay_probe_options(TrainOptions options, int64_t probe_steps) {
  if (!options.model.method.is_sparse() || options.model.method.decay == 0) {
    fail_usage(
        "tune-decay needs a method with masked decay, as sr-ste or fst: --method {} has none",
        options.model.method.name);
  }
  if (options.model.method.mask_interval == 0 || options.model.method.has_given_masks()) {
    fail_usage("tune-decay needs masks that can flip: --mask-interval is 0");
  }
  const int64_t least = 4 * options.model.method.mask_interval;
  options.run.stop_after = probe_steps;
  if (options.run.stop_after == 0) {
    options.run.stop_after =
        std::max({least, options.optimizer.warmup + options.optimizer.warmup / 2,
                  options.optimizer.steps / 20});
  }
  options.run.stop_after = std::min(options.run.stop_after, options.optimizer.steps);
  if (options.run.stop_after < least) {
    fail_usage("--probe-steps {} is too short: at least {}, four mask intervals",
               options.run.stop_after, least);
  }
  options.run.log_every = 1;
  options.run.validate_every = 0;
  options.run.keep = 1;
  return options;
}

std::vector<DecayProbe> bracket_decay(double first, int64_t most_runs,
                                      const std::function<DecayProbe(double)>& measure) {
  std::vector<DecayProbe> probes;
  double decay = first, low = 0, high = 0;  // λ with too high and too low a ratio; 0 = none so far
  while (static_cast<int64_t>(probes.size()) < most_runs) {
    const DecayProbe& probe = probes.emplace_back(measure(decay));
    if (probe.is_healthy()) break;
    (probe.ratio > kHighestFlipRatio ? low : high) = decay;
    decay = low > 0 && high > 0 ? std::sqrt(low * high) : low > 0 ? decay * 4 : decay / 4;
  }
  return probes;
}

DecaySearch search_decay(const TrainOptions& probes, const std::string& config, int64_t most_runs) {
  const FolderLock lock(probes.run.out);
  spdlog::info("{} dense steps with masks watched", probes.run.stop_after);
  const report::RunLog dense = run_probe(watching_dense(probes), "dense", config);
  DecaySearch search;
  search.dense_flip_rate = mean_of(dense, "flip_rate", probes);
  search.dense_loss = mean_of(dense, "loss", probes);
  if (!(search.dense_flip_rate > 0)) {
    fail(
        "no mask of the dense run flipped in {} steps: raise --probe-steps above the mask interval "
        "{}",
        probes.run.stop_after, probes.model.method.mask_interval);
  }
  search.probes =
      bracket_decay(probes.model.method.decay, most_runs, [&](double decay) -> DecayProbe {
        TrainOptions options = probes;
        options.model.method.decay = decay;
        spdlog::info("{} steps with decay {:.3g}", options.run.stop_after, decay);
        const report::RunLog log = run_probe(options, fmt::format("decay-{:.3g}", decay),
                                             config + fmt::format("decay = {}\n", decay));
        const double flip_rate = mean_of(log, "flip_rate", probes);
        return {decay, flip_rate, flip_rate / search.dense_flip_rate, mean_of(log, "loss", probes)};
      });
  return search;
}

}  // namespace twofour::train
