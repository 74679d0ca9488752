// The log: one line an event on stderr through spdlog. Results go to stdout, never here.
#pragma once

#include <spdlog/spdlog.h>

namespace twofour {

/// Sends spdlog's default logger to stderr as "twofour: message" (with "warning: " where it is
/// one). `TWOFOUR_LOG=debug|info|warn|error|off` sets the level, default info. While a progress bar
/// is drawn, log lines appear above it.
void start_log();

/// Logs explanations too (spdlog::debug), such as why products run dense.
void log_details();

}  // namespace twofour
