// 2:4 masks and the soft threshold of S-STE as tensor operations (arXiv 2409.09099, section 4).
#pragma once

#include <ATen/core/Tensor.h>

#include "twofour/kernels/forward_weight/weight_counts.h"

namespace twofour::sparse {

/// β = <W, S(W)> / <S(W), S(W)> of weight [out, in] (float32, contiguous rows): the scale with
/// which β S(W) best approximates W. 1 if S(W) is zero everywhere.
double soft_threshold_scale(const at::Tensor& weight);

/// out = scale · S(weight), rounded to out's dtype (float32, bfloat16 or float16), of weight [out,
/// in] float32 with `in` a multiple of 4. `mask` (uint8, ceil(numel / 8) bytes, 8 entries a byte,
/// most significant bit first) is compared with the magnitude mask of `weight` and replaced by it.
kernels::WeightCounts soft_threshold24(const at::Tensor& weight, double scale, at::Tensor& out,
                                       at::Tensor& mask);

}  // namespace twofour::sparse
