#include "twofour/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace twofour::train {

double learning_rate(int64_t step, int64_t steps, int64_t warmup, double peak, double end) {
  if (step < warmup) return peak * static_cast<double>(step + 1) / static_cast<double>(warmup);
  const double length = static_cast<double>(std::max<int64_t>(1, steps - warmup));
  const double progress = std::min(1.0, static_cast<double>(step - warmup) / length);
  return end + (peak - end) * 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
}

}  // namespace twofour::train
