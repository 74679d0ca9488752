// --dtype auto, and what a run is told about its dtype.
#pragma once

#include "twofour/cli/command.h"
#include "twofour/train/options.h"

namespace twofour::cli {

/// Puts the faster of float32 and bfloat16 on this machine in the place of `auto`, in `options` and
/// in the command's option, so that config.toml keeps what was taken. Where another dtype than the
/// fastest was asked for and is clearly slower, the log says so, once. Nothing is measured where
/// TWOFOUR_TUNE=off: `auto` is float32 then.
void settle_dtype(CLI::App& command, train::TrainOptions& options);

}  // namespace twofour::cli
