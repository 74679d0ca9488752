// Pieces of work that take turns, each timed: what a choice or a benchmark compares was measured in
// the same moments of the same machine.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace twofour {

/// Runs every piece once to warm up, then all of them in turn, every other round in reverse: what a
/// piece leaves in the caches does not always meet the same one.
class Race {
 public:
  void add(std::string name, std::function<void()> work);

  /// Calls fn(rounds done) after every round, outside of all times.
  void on_round(std::function<void(int64_t done)> fn) { on_round_ = std::move(fn); }

  /// At least `least` rounds, then more until `most` or until `seconds` have passed.
  void run(int64_t least, int64_t most, double seconds);
  void run(int64_t rounds) { run(rounds, rounds, 0); }

  /// The shortest time of the piece of that name, in seconds. Throws Error for an unknown name.
  double seconds(const std::string& name) const;

 private:
  struct Runner {
    std::string name;
    std::function<void()> work;
    double seconds;
  };
  std::vector<Runner> runners_;
  std::function<void(int64_t)> on_round_;
};

}  // namespace twofour
