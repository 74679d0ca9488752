// The state and update of a parameter that at::_fused_adamw_ does not take: in bfloat16, or with
// moments in bfloat16 or 8 bits (kernels/training/small_adamw.h).
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "twofour/base/random.h"
#include "twofour/kernels/training/small_adamw.h"

namespace twofour::train {

/// How the two moments of each parameter are stored: 8, 4 or 2.03 bytes a parameter together.
enum class Moments { kFloat32, kBFloat16, kEightBit };

/// The moments of one parameter. The tensors of 8 bits are uint8, and each has a scale for every
/// kernels::kMomentBlock entries; other scales are undefined.
struct SmallMoments {
  at::Tensor exp_avg, exp_avg_sq, exp_avg_scale, exp_avg_sq_scale;
};

/// Zeros for `parameter`, of its shape.
SmallMoments make_moments(const at::Tensor& parameter, Moments kind);

/// One step on `parameter`, float32 or bfloat16, from its float32 gradient; all contiguous.
void update_small(const at::Tensor& parameter, const at::Tensor& gradient,
                  const SmallMoments& moments, const kernels::AdamWStep& step,
                  const RandomStream& stream);

}  // namespace twofour::train
