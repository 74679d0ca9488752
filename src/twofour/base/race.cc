#include "twofour/base/race.h"

#include <algorithm>
#include <chrono>
#include <limits>

#include <sys/resource.h>

#include "twofour/base/error.h"

namespace twofour {
namespace {

// A quiet machine's services take a core a few times a second.
constexpr double kQuietPreemptions = 2, kQuietPreemptionsPerSecond = 20;
constexpr double kQuietSpread = 1.5;  // of the median over the shortest time

// Work done once, such as compiling a kernel, lengthens a warm-up by less than this.
constexpr double kWarmUpMargin = 1.5;

double steady_seconds() {
  const auto time = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(time).count();
}

int64_t involuntary_context_switches() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_nivcsw;
}

}  // namespace

RaceClock RaceClock::of_process() { return {steady_seconds, involuntary_context_switches}; }

double Race::Runner::fastest() const {
  double least = std::numeric_limits<double>::infinity();
  for (const double each : seconds) least = std::min(least, each);
  return least;
}

double Race::Runner::median() const {
  if (seconds.empty()) return 0;
  std::vector<double> sorted = seconds;
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  return *middle;
}

void Race::add(std::string name, std::function<void()> work) {
  runners_.push_back({std::move(name), std::move(work), {}});
}

void Race::run_round(bool in_reverse) {
  for (size_t i = 0; i < runners_.size(); ++i) {
    Runner& runner = runners_[in_reverse ? runners_.size() - 1 - i : i];
    if (runner.is_left_out) continue;
    const double start = clock_.seconds();
    runner.work();
    runner.seconds.push_back(clock_.seconds() - start);
  }
}

const Race::Runner& Race::winner() const {
  return *std::min_element(runners_.begin(), runners_.end(), [](const Runner& a, const Runner& b) {
    return a.fastest() < b.fastest();
  });
}

void Race::leave_out_slower_than_now(double factor) {
  const double most = factor * winner().fastest();
  for (Runner& runner : runners_) runner.is_left_out = runner.fastest() > most;
}

// Only pieces that run no more keep their warm-up times.
void Race::warm_up() {
  run_round(/*in_reverse=*/false);
  if (slowest_factor_ > 0) leave_out_slower_than_now(kWarmUpMargin * slowest_factor_);
  for (Runner& runner : runners_) {
    if (!runner.is_left_out) runner.seconds.clear();
  }
}

void Race::run(int64_t least, int64_t most, double seconds) {
  warm_up();
  const double begin = clock_.seconds();
  const int64_t preemptions_before = clock_.preemptions();
  for (int64_t round = 0; round < most; ++round) {
    if (round >= least && clock_.seconds() - begin > seconds) break;
    run_round(/*in_reverse=*/round % 2 == 1);
    if (round == 0 && slowest_factor_ > 0) leave_out_slower_than_now(slowest_factor_);
    if (on_round_) on_round_(round + 1);
  }
  duration_ = clock_.seconds() - begin;
  preemptions_ = clock_.preemptions() - preemptions_before;
}

double Race::seconds(const std::string& name) const {
  for (const Runner& runner : runners_) {
    if (runner.name == name) return runner.fastest();
  }
  fail("nothing named \"{}\" ran", name);
}

bool Race::was_disturbed() const {
  const double quiet = kQuietPreemptions + kQuietPreemptionsPerSecond * duration_;
  if (static_cast<double>(preemptions_) > quiet) return true;
  const Runner& fastest = winner();
  return fastest.median() > kQuietSpread * fastest.fastest();
}

}  // namespace twofour
