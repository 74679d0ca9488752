// AdamW of STEP (arXiv 2302.01172): the change of the second moment, and the update after it is
// frozen. Arrays are float32 of `count` entries. Results are independent of thread count and
// instruction set.
#pragma once

#include <cstdint>

namespace twofour::kernels {

/// Each value is rounded to float32 once; arithmetic on entries is float32.
struct FrozenAdamW {
  double learning_rate = 0.0;
  double beta1 = 0.9;
  double epsilon = 1e-8;
  double weight_decay = 0.0;      ///< of this array: 0 for biases and norms
  double gradient_divisor = 1.0;  ///< the loss scale times the divisor of clipping
  double bias_correction1 = 1.0;  ///< 1 - beta1^t at step t
  double bias_correction2 = 1.0;  ///< 1 - beta2^t at the step t that froze the second moment
};

/// One step with a frozen second moment, in the mask-learning phase:
///   g = gradient / gradient_divisor
///   exp_avg = beta1 exp_avg + (1 - beta1) g
///   w = w (1 - learning_rate weight_decay)
///   w -= learning_rate / bias_correction1 exp_avg / (sqrt(second_moment / bias_correction2) + ε)
/// The four arrays must not overlap.
void frozen_adamw(float* w, const float* gradient, float* exp_avg, const float* second_moment,
                  int64_t count, const FrozenAdamW& options);

/// Sums over the changes |v_t - v_(t-1)| of the second moment; not finite if a change is not.
struct MomentChange {
  double sum = 0.0;
  double sum_of_logarithms = 0.0;  ///< natural logarithms of the nonzero changes
  int64_t nonzero = 0;             ///< number of nonzero changes
};

/// The changes |(1 - beta2) ((gradient / gradient_divisor)² - exp_avg_sq)| of the next step, where
/// exp_avg_sq is v_(t-1). AutoSwitch freezes by their arithmetic or geometric mean. The quotient is
/// rounded to float32; the rest is double, so no change underflows. The error of the sum of
/// logarithms is at most 1e-15 of the sum of 1 + |logarithm|.
MomentChange second_moment_change(const float* gradient, const float* exp_avg_sq, int64_t count,
                                  float gradient_divisor, float beta2);

}  // namespace twofour::kernels
