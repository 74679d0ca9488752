// Work that is stopped by a signal at the next point where nothing is lost.
#pragma once

#include <cstdint>

namespace twofour {

/// What is said on stderr, each text after "twofour: ". They must outlive the StopSignal.
struct StopMessages {
  const char* first;   ///< on the first signal
  const char* before;  ///< on the second one, before and after the number of set_saved
  const char* after;
  const char* nothing;  ///< on the second one, if nothing was saved
};

/// While it lives, the first SIGINT, SIGTERM or SIGHUP only sets a flag and prints a line on
/// stderr, so that the work can end where it can be continued. A second one ends the process at
/// once and says what is lost. Signals that were ignored before stay ignored (nohup). A write to a
/// pipe without a reader fails instead of ending the process (SIGPIPE). One at a time.
class StopSignal {
 public:
  explicit StopSignal(const StopMessages& messages);
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  static bool requested();

  /// All steps or blocks up to this one, counted from 1, are saved.
  static void set_saved(int64_t count);
};

}  // namespace twofour
