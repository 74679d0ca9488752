// AdamW of STEP (arXiv 2302.01172): how much the second moment still changes, and the update once
// it is frozen. float32 arrays of `count` entries. Every result is the same for any thread count
// and instruction set.
#pragma once

#include <cstdint>

namespace twofour::kernels {

/// Rounded to float32 once; the arithmetic of the entries is float32.
struct FrozenAdamW {
  double learning_rate = 0.0;
  double beta1 = 0.9;
  double epsilon = 1e-8;
  double weight_decay = 0.0;      ///< of this array: 0 for biases and norms
  double gradient_divisor = 1.0;  ///< the loss scale times what clipping divides by
  double bias_correction1 = 1.0;  ///< 1 - beta1^t at step t
  double bias_correction2 = 1.0;  ///< 1 - beta2^t at the step t that froze the second moment
};

/// One step with the second moment held, the mask-learning phase:
///   g = gradient / gradient_divisor
///   exp_avg = beta1 exp_avg + (1 - beta1) g
///   w = w (1 - learning_rate weight_decay)
///   w -= learning_rate / bias_correction1 exp_avg / (sqrt(second_moment / bias_correction2) + ε)
/// The four arrays do not overlap.
void frozen_adamw(float* w, const float* gradient, float* exp_avg, const float* second_moment,
                  int64_t count, const FrozenAdamW& options);

/// Sums over the changes |v_t - v_(t-1)| of the second moment; not finite where a change is not.
struct MomentChange {
  double sum = 0.0;
  double sum_of_logarithms = 0.0;  ///< natural, of the changes that are not 0
  int64_t nonzero = 0;             ///< how many they are
};

/// The changes |(1 - beta2) ((gradient / gradient_divisor)² - exp_avg_sq)| that the coming step
/// will make (their mean, arithmetic or geometric, says when to freeze: AutoSwitch). exp_avg_sq is
/// v_(t-1). The quotient is rounded to float32, the rest is double, so that no change underflows.
/// The sum of the logarithms is within 1e-15 of the sum of 1 + |logarithm|.
MomentChange second_moment_change(const float* gradient, const float* exp_avg_sq, int64_t count,
                                  float gradient_divisor, float beta2);

}  // namespace twofour::kernels
