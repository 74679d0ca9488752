// Learns the masks of a frozen model (MaskLLM, arXiv 2409.17481): a training run whose parameters
// are the masks' logits.
#pragma once

#include <string>

#include "twofour/base/stop_signal.h"
#include "twofour/learn/options.h"
#include "twofour/train/trainer.h"

namespace twofour::learn {

/// For the caller's StopSignal.
inline constexpr StopMessages kStopMessages = {
    "stopping after this step, or block of the prior, which is kept; once more to stop at once",
    "stopped at once: the work after step ", ", or block of the prior, is lost",
    "stopped at once: nothing is saved yet"};

/// Runs as train::train does, with the same folder, checkpoints, stops and errors. RUN/prior holds
/// the masks of a prior that is a method; RUN/model is the dense model with the learned masks.
train::TrainSummary learn(const LearnOptions& options, const std::string& config);

}  // namespace twofour::learn
