// Times pieces of work in turn, so that a choice or a benchmark compares times of the same moments
// on the same machine.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace twofour {

/// The clocks that a race reads. A test replaces those of the process.
struct RaceClock {
  std::function<double()> seconds;       ///< monotonic
  std::function<int64_t()> preemptions;  ///< times that others took a core from this process

  static RaceClock of_process();
};

/// Runs every piece once to warm up, then all in turn. Every other round runs in reverse, because a
/// piece inherits the caches of the one before.
class Race {
 public:
  explicit Race(RaceClock clock = RaceClock::of_process()) : clock_(std::move(clock)) {}

  void add(std::string name, std::function<void()> work);

  /// Calls fn(rounds done) after every round, outside of all times.
  void on_round(std::function<void(int64_t done)> fn) { on_round_ = std::move(fn); }

  /// Drops a piece that takes more than `factor` times the fastest time in the first round, or half
  /// as much again in its warm-up. A hopeless one may take a hundred times as long.
  void leave_out_slower_than(double factor) { slowest_factor_ = factor; }

  /// At least `least` rounds, then more until `most` or until `seconds` have passed.
  void run(int64_t least, int64_t most, double seconds);
  void run(int64_t rounds) { run(rounds, rounds, 0); }

  /// The shortest time of the piece of that name, in seconds. Throws Error for an unknown name.
  double seconds(const std::string& name) const;

  /// Whether other work disturbed the race, so that a second one may end differently: it took cores
  /// more often than a quiet machine's services do, or the fastest piece usually took much longer
  /// than at its best.
  bool was_disturbed() const;

 private:
  struct Runner {
    std::string name;
    std::function<void()> work;
    std::vector<double> seconds;  // of each round
    bool is_left_out = false;

    double fastest() const;
    double median() const;
  };
  void run_round(bool in_reverse);
  void warm_up();
  void leave_out_slower_than_now(double factor);
  const Runner& winner() const;

  RaceClock clock_;
  std::vector<Runner> runners_;
  std::function<void(int64_t)> on_round_;
  double slowest_factor_ = 0;  // 0 = all stay
  double duration_ = 0;        // seconds
  int64_t preemptions_ = 0;
};

}  // namespace twofour
