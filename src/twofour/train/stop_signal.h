#pragma once

#include <cstdint>

namespace twofour::train {

/// While it lives, the first SIGINT, SIGTERM or SIGHUP only raises a flag, which a line on stderr
/// says, so that the running step can end with a checkpoint; a second one ends the process at once
/// and says what is lost. A signal that was ignored before stays so (nohup). A write to a pipe that
/// nobody reads any more fails instead of ending the process (SIGPIPE).
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
