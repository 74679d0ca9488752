// Resolves --dtype auto and reports a slow dtype.
#pragma once

#include "twofour/cli/command.h"
#include "twofour/train/options.h"

namespace twofour::cli {

/// Replaces `auto` by the faster of float32 and bfloat16 on this machine, in `options` and in the
/// command's option, so that config.toml keeps the choice. Logs once if the chosen dtype is clearly
/// slower than the fastest. With TWOFOUR_TUNE=off nothing is measured and `auto` is float32.
void settle_dtype(CLI::App& command, train::TrainOptions& options);

}  // namespace twofour::cli
