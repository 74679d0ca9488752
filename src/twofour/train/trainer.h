// A training run from a folder of token files to a run folder with a Hugging Face model.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "twofour/base/stop_signal.h"
#include "twofour/train/options.h"
#include "twofour/train/trained_model.h"

namespace twofour::train {

struct TrainSummary {
  int64_t steps = 0;  ///< steps done, including earlier parts of the run
  int64_t parameters = 0;
  int64_t skipped = 0;  ///< steps of this part whose scaled gradients overflowed
  double seconds = 0;   ///< of this part of the run
  // None if not measured.
  std::optional<double> train_loss;         ///< of this part's last step
  std::optional<double> tokens_per_second;  ///< of this part's steps
  std::optional<double> validation_loss;    ///< after the last step, with val.bin
  std::optional<double> flip_rate;          ///< if there are masks
  std::optional<double> zeros;              ///< of W̃, for a sparse method
  /// Groups with another mask than the prior's, for learned masks.
  std::optional<double> changed_from_prior;
};

/// Makes what the run trains, once the options and the data are checked.
using MakeTrainedModel = std::function<std::unique_ptr<TrainedModel>()>;

/// For the caller's StopSignal.
inline constexpr StopMessages kStopMessages = {
    "stopping after this step, with a checkpoint; once more to stop at once",
    "stopped at once: the steps after step ", ", which the last checkpoint holds, are lost",
    "stopped at once: there is no checkpoint yet, so all steps are lost"};

/// Trains with `options`; without `make_trained`, it pre-trains (pretraining.h). `config` is the
/// effective configuration, kept as RUN/config.toml.
///
/// The run folder appears with the first checkpoint and always holds `keep` complete ones. A
/// resumed run without changes equals an uninterrupted one, bit for bit, on the same machine with
/// as many threads. The changes of a resumed run (see changeable_options()) are in config.toml and,
/// with the step, in log.jsonl.
///
/// Throws Error, leaving the last checkpoint unchanged, in these cases: sizes or data do not allow
/// training; the run folder already holds a run (without resume), was made with other options that
/// must stay (with resume; the first difference is named), or is in use by another process; the run
/// diverges (see Stepper::take); a stop was requested (StopSignal, which the caller makes) or
/// stdout cannot be written, once that step's checkpoint is written. `stop_after` ends a run
/// without an error. RUN/model appears, or is replaced, only after the last step.
TrainSummary train(const TrainOptions& options, const std::string& config,
                   const MakeTrainedModel& make_trained = {});

}  // namespace twofour::train
