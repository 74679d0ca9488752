// The one progress bar: on stderr, only when stderr is a terminal.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace twofour {

/// Draws "title [#####-----] · 01:23 left · detail" (a percentage where there is no detail), at
/// most ten times a second, and clears the line when destroyed. Not thread-safe: one thread updates
/// one bar. One bar exists at a time.
class ProgressBar {
 public:
  /// `total` in any unit (steps, bytes); 0 = unknown, without percentage and time left.
  ProgressBar(std::string title, uint64_t total);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  /// `done` of total; `detail` such as "loss 3.21 · 12k tokens/s". Redraws when it is time to.
  void update(uint64_t done, const std::string& detail = "");
  /// Sets the position at which a resumed run begins, which the estimate of the time left needs.
  void start_at(uint64_t done) { first_ = done; }

  /// Clears the bar's line if one is drawn, so that other output can be printed; it comes back with
  /// the next update. Also called by the log.
  static void clear_line();

 private:
  using Clock = std::chrono::steady_clock;
  std::string title_;
  uint64_t total_, first_ = 0;
  bool visible_;
  Clock::time_point start_, last_drawn_;
};

/// True when the given stream (1 stdout, 2 stderr) is a terminal.
bool is_terminal(int descriptor);

/// Seconds as "12 s", "03:25" or "1:02:03".
std::string format_duration(double seconds);

}  // namespace twofour
