#include "twofour/base/race.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

#include "twofour/base/error.h"

namespace twofour {
namespace {

double now() {
  const auto time = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(time).count();
}

}  // namespace

void Race::add(std::string name, std::function<void()> work) {
  runners_.push_back({std::move(name), std::move(work), std::numeric_limits<double>::infinity()});
}

void Race::run(int64_t least, int64_t most, double seconds) {
  for (Runner& runner : runners_) runner.work();
  const double begin = now();
  for (int64_t round = 0; round < most; ++round) {
    if (round >= least && now() - begin > seconds) break;
    for (size_t i = 0; i < runners_.size(); ++i) {
      Runner& runner = runners_[round % 2 == 0 ? i : runners_.size() - 1 - i];
      const double start = now();
      runner.work();
      runner.seconds = std::min(runner.seconds, now() - start);
    }
    if (on_round_) on_round_(round + 1);
  }
}

double Race::seconds(const std::string& name) const {
  for (const Runner& runner : runners_) {
    if (runner.name == name) return runner.seconds;
  }
  fail("nothing named \"{}\" ran", name);
}

}  // namespace twofour
