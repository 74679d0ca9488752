// AdamW (Loshchilov & Hutter, "Decoupled weight decay regularization", algorithm 2) with
// parameters in bfloat16 and moments in bfloat16 or 8 bits, in one pass over memory. Rounding is
// stochastic, so that changes below the last place add up in the mean instead of being lost.
// Results are independent of thread count and instruction set.
//
// Moments of 8 bits lie in blocks that share a float32 scale, an idea of block-wise 8-bit
// optimisers (arXiv 2110.02861, section 2). That paper rounds to the nearest entry of a table, in
// blocks of 2048; here the codes are small floats that need no table, blocks have 256 entries, the
// second moment is stored as its square root, and rounding is stochastic.
#pragma once

#include <cstdint>

#include "twofour/base/random.h"
#include "twofour/kernels/types.h"

namespace twofour::kernels {

/// Each value is rounded to float32 once; arithmetic on entries is float32.
struct AdamWStep {
  double learning_rate = 0.0;
  double beta1 = 0.9, beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.0;
  double gradient_divisor = 1.0;  ///< the loss scale times the divisor of clipping
  double bias_correction1 = 1.0;  ///< 1 - beta1^t at step t = 1, 2, …
  double bias_correction2 = 1.0;  ///< 1 - beta2^t
};

/// The entries that share a scale.
constexpr int64_t kMomentBlock = 256;

/// Codes of 8 bits relative to the largest entry of their block. All zeros mean zeros.
///   first moment: a sign, 4 bits of exponent and 3 of mantissa, with denormals. In units of
///     scale, the numbers are 0 to 15 and from there on seven more in each power of two, up to
///     15 · 2^14, the largest entry.
///   second moment v: sqrt(v) in 4 bits of exponent and 4 of mantissa, up to 31 · 2^14 units. A v
///     above 0 is never rounded to 0.
struct Moment8 {
  uint8_t code;
};

/// The moments of a parameter of `count` entries. M is float, bfloat16 or Moment8; the scales, one
/// a block, are only for Moment8.
template <class M>
struct AdamWMoments {
  M* exp_avg;
  M* exp_avg_sq;
  float* exp_avg_scale = nullptr;
  float* exp_avg_sq_scale = nullptr;
};

/// One step on w [count], float or bfloat16:
///   g = gradient / gradient_divisor
///   m = beta1 m + (1 - beta1) g
///   v = beta2 v + (1 - beta2) g²
///   w = w (1 - learning_rate weight_decay)
///   w -= learning_rate / bias_correction1 m / (sqrt(v / bias_correction2) + ε)
/// with m and v before they are rounded. The arrays must not overlap, and count is at most 2^32.
///
/// Rounded values have the exact mean of w, of m and of v (not of sqrt(v)), up to 2^-16 of the
/// distance of the two neighbours, except that no v above 0 becomes 0. `stream` names the step and
/// the parameter.
template <class W, class M>
void small_adamw(W* w, const float* gradient, const AdamWMoments<M>& moments, int64_t count,
                 const AdamWStep& step, const RandomStream& stream);

/// The values [count] of 8-bit codes: m, and v.
void first_moment_of(const Moment8* codes, const float* scales, int64_t count, float* m);
void second_moment_of(const Moment8* codes, const float* scales, int64_t count, float* v);

}  // namespace twofour::kernels
