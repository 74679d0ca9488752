// Pieces of work that take turns, each timed: what a choice or a benchmark compares was measured in
// the same moments of the same machine.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace twofour {

/// What a race reads while it runs. A test puts its own in the place of the process'.
struct RaceClock {
  std::function<double()> seconds;       ///< monotonic
  std::function<int64_t()> preemptions;  ///< times that others took a core from this process

  static RaceClock of_process();
};

/// Runs every piece once to warm up, then all of them in turn, every other round in reverse: what a
/// piece leaves in the caches does not always meet the same one.
class Race {
 public:
  explicit Race(RaceClock clock = RaceClock::of_process()) : clock_(std::move(clock)) {}

  void add(std::string name, std::function<void()> work);

  /// Calls fn(rounds done) after every round, outside of all times.
  void on_round(std::function<void(int64_t done)> fn) { on_round_ = std::move(fn); }

  /// A piece that takes more than `factor` times the fastest's time in the first round, or half as
  /// many again while it warms up, runs no more: a hopeless one may take a hundred times as long.
  void leave_out_slower_than(double factor) { slowest_factor_ = factor; }

  /// At least `least` rounds, then more until `most` or until `seconds` have passed.
  void run(int64_t least, int64_t most, double seconds);
  void run(int64_t rounds) { run(rounds, rounds, 0); }

  /// The shortest time of the piece of that name, in seconds. Throws Error for an unknown name.
  double seconds(const std::string& name) const;

  /// Whether something else ran meanwhile, so that another race may end otherwise: others took a
  /// core away more often than a quiet machine's own services do, or the fastest piece usually took
  /// much longer than at its best.
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
