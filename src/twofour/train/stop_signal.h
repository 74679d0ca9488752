#pragma once

namespace twofour::train {

/// While it lives, the first SIGINT or SIGTERM only raises a flag, so that the running step can end
/// with a checkpoint; a second one ends the process at once.
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;
  static bool requested();
};

}  // namespace twofour::train
