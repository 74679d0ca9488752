// MVUE as a tensor operation: an unbiased 2:4 sparse estimate of a gradient (arXiv 2203.10991).
#pragma once

#include <ATen/core/Tensor.h>

#include "twofour/base/random.h"

namespace twofour::sparse {

/// dz [tokens, features] with at most two entries kept of every four consecutive tokens of a
/// feature, scaled so that the expectation is dz. float32, bfloat16 or float16, contiguous. The
/// numbers depend on `stream` and the position only: not on threads, nor on how often it is called.
at::Tensor mvue24(const at::Tensor& dz, const RandomStream& stream);

}  // namespace twofour::sparse
