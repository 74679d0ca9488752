// Where the time of a training step goes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace twofour {

/// kForward, kBackward, kOptimizer, kCast (weights and biases that every method needs in the
/// compute dtype) and kRefresh (masks and forward weights of the chosen layers) cover a step; kMvue
/// and kPacking are parts of the products inside the first two.
enum class Part { kForward, kBackward, kOptimizer, kCast, kRefresh, kMvue, kPacking };
constexpr std::array<const char*, 7> kPartNames = {"forward", "backward", "optimizer", "cast",
                                                   "refresh", "mvue",     "packing"};

constexpr size_t kStepParts = 5;  ///< the first ones, which cover a step

/// Adds its lifetime to a part.
class PartTimer {
 public:
  explicit PartTimer(Part part);
  ~PartTimer();
  PartTimer(const PartTimer&) = delete;
  PartTimer& operator=(const PartTimer&) = delete;

 private:
  Part part_;
  int64_t start_;
};

/// Seconds of each part since the last call, in the order of kPartNames.
std::array<double, kPartNames.size()> take_part_seconds();

}  // namespace twofour
