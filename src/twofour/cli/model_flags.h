// The flags of a training run that set its model and the starting weights.
#pragma once

#include <cstdint>

#include "twofour/cli/train_flags.h"

namespace twofour::cli {

/// Declares them.
void add_model_flags(CLI::App& command, TrainFlags& flags);

/// Tokens of a sequence.
int64_t context_of(const TrainFlags& flags);

/// Sets options.model and the context. The method, the data's folder and the run must be set.
/// Throws Error (usage) for flags that contradict each other or the data.
void complete_model(const TrainFlags& flags, train::TrainOptions& options);

}  // namespace twofour::cli
