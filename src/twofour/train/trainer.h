// Pre-training from a folder of token files to a run folder with a Hugging Face model in it.
#pragma once

#include <optional>
#include <string>

#include "twofour/train/options.h"

namespace twofour::train {

struct TrainSummary {
  int64_t steps = 0;  ///< steps done, those of earlier parts of the run included
  int64_t parameters = 0;
  int64_t skipped = 0;  ///< steps of this part whose scaled gradients overflowed
  double seconds = 0;   ///< of this part of the run
  // None where it was not measured.
  std::optional<double> train_loss;         ///< of this part's last step
  std::optional<double> tokens_per_second;  ///< of this part's steps
  std::optional<double> validation_loss;    ///< after the last step, with val.bin
  std::optional<double> flip_rate;          ///< where there are masks
  std::optional<double> zeros;              ///< of W̃, for a sparse method
};

/// Trains as `options` say. `config` is the effective configuration, kept as RUN/config.toml.
///
/// The run folder appears with the first checkpoint and always holds `keep` complete ones. A run
/// that is resumed without changes equals one that never stopped, bit for bit, on the same machine
/// with as many threads. What a resumed run changes (see changeable_options()) is in config.toml
/// and, with the step, in log.jsonl.
///
/// Throws Error, leaving the last checkpoint as it was: for sizes or data that cannot be trained
/// on; for a run folder that already holds a run (without resume), was made with other options that
/// must stay (with resume; the first difference is named), or in which another process is at work;
/// when the run diverges (see Stepper::take); after a requested stop (StopSignal, which the caller
/// makes) and when stdout cannot be written any more, once the checkpoint of that step is written.
/// `stop_after` ends a run likewise, but without an error; RUN/model appears, or is replaced, only
/// after the last step.
TrainSummary train(const TrainOptions& options, const std::string& config);

}  // namespace twofour::train
