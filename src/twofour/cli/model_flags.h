// The flags of a training run that say which model is trained and what it begins from.
#pragma once

#include <cstdint>

#include "twofour/cli/train_flags.h"

namespace twofour::cli {

/// Declares them.
void add_model_flags(CLI::App& command, TrainFlags& flags);

/// Tokens of a sequence.
int64_t context_of(const TrainFlags& flags);

/// Fills in options.model and the context, of which the method, the data's folder and the run are
/// known. Throws Error (usage) for flags that contradict each other or the data.
void complete_model(const TrainFlags& flags, train::TrainOptions& options);

}  // namespace twofour::cli
