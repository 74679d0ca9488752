// MVUE as a tensor operation: an unbiased 2:4 sparse estimate of a gradient (arXiv 2203.10991).
#pragma once

#include <ATen/core/Tensor.h>

#include "twofour/base/random.h"

namespace twofour::sparse {

/// dz [tokens, features] with at most two entries kept of every four consecutive tokens of a
/// feature, scaled so that the expectation is dz. float32, bfloat16 or float16, contiguous. The
/// random numbers only depend on `stream` and the position, not on threads or earlier calls.
at::Tensor mvue24(const at::Tensor& dz, const RandomStream& stream);

}  // namespace twofour::sparse
