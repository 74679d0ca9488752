// Finds the λ of masked decay by short runs (FST, arXiv 2404.01847, section 4.3). The flip rate of
// the sparse run, divided by that of a dense run that only watches its masks, must lie in
// [kLowestFlipRatio, kHighestFlipRatio].
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "twofour/train/options.h"

namespace twofour::train {

constexpr double kLowestFlipRatio = 0.60, kHighestFlipRatio = 0.95;

/// A short run with one λ; its values are means over the second half of its steps.
struct DecayProbe {
  double decay, flip_rate;
  double ratio;  ///< flip_rate divided by the dense run's
  double loss;
  bool is_healthy() const { return ratio >= kLowestFlipRatio && ratio <= kHighestFlipRatio; }
};

struct DecaySearch {
  double dense_flip_rate = 0, dense_loss = 0;
  std::vector<DecayProbe> probes;  ///< in the order of the runs; at least one
  /// Whether the last probe's λ is the result.
  bool has_found() const { return !probes.empty() && probes.back().is_healthy(); }
};

/// `options` for a probe: `probe_steps` steps (0: one and a half warm-ups, at least a twentieth of
/// the run and four mask intervals), all logged, no validation. Throws Error (usage) for a method
/// without masked decay, for masks that cannot flip, and for fewer than four mask intervals.
TrainOptions decay_probe_options(TrainOptions options, int64_t probe_steps);

/// Runs the dense probe in OUT/dense and at most `most_runs` sparse ones in OUT/decay-λ, beginning
/// with the method's own λ. `probes` comes from decay_probe_options; `config`, without a decay, is
/// kept beside each probe. Results of an earlier search in OUT are used again. Throws Error if OUT
/// holds longer probes or is in use by another process, if no mask of the dense run flips, and for
/// all errors of train().
DecaySearch search_decay(const TrainOptions& probes, const std::string& config, int64_t most_runs);

/// The search without the runs: from `first` by factors of four until two λ have ratios on both
/// sides of the healthy range, then by their geometric mean. Ends with the first healthy probe, or
/// after `most_runs`.
std::vector<DecayProbe> bracket_decay(double first, int64_t most_runs,
                                      const std::function<DecayProbe(double decay)>& measure);

}  // namespace twofour::train
