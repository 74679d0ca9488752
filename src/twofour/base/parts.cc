#include "twofour/base/parts.h"

#include <atomic>
#include <chrono>

namespace twofour {
namespace {

std::array<std::atomic<int64_t>, kPartNames.size()> nanoseconds;

int64_t nanoseconds_now() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

}  // namespace

PartTimer::PartTimer(Part part) : part_(part), start_(nanoseconds_now()) {}

PartTimer::~PartTimer() { nanoseconds[static_cast<size_t>(part_)] += nanoseconds_now() - start_; }

std::array<double, kPartNames.size()> take_part_seconds() {
  std::array<double, kPartNames.size()> seconds{};
  for (size_t i = 0; i < seconds.size(); ++i) {
    seconds[i] = static_cast<double>(nanoseconds[i].exchange(0)) * 1e-9;
  }
  return seconds;
}

}  // namespace twofour
