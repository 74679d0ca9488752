#pragma once

#include <cstdint>

namespace twofour::train {

/// The learning rate of step `step` (0, 1, …): a linear rise to `peak` over `warmup` steps, above 0
/// from the first, then a cosine that reaches `end` at step `steps`.
double learning_rate(int64_t step, int64_t steps, int64_t warmup, double peak, double end);

}  // namespace twofour::train
