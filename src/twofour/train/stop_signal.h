#pragma once

#include <cstdint>

namespace twofour::train {

/// While it lives, the first SIGINT, SIGTERM or SIGHUP only sets a flag and prints a line on
/// stderr, so that the running step can end with a checkpoint. A second one ends the process at
/// once and reports the lost steps. Signals that were ignored before stay ignored (nohup). A write
/// to a pipe without a reader fails instead of ending the process (SIGPIPE).
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  static bool requested();

  /// All steps up to this one are in a checkpoint.
  static void set_saved(int64_t step);
};

}  // namespace twofour::train
