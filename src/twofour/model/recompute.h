// Activation recomputation (Chen et al., arXiv 1604.06174): trade a second forward pass of a block
// for the memory of its activations.
#pragma once

#include <functional>

#include <ATen/core/Tensor.h>

namespace twofour::model {

/// block(x), of which backward keeps x only and runs `block` again. `block` must give the same
/// values both times and stay valid until backward.
at::Tensor recompute(const std::function<at::Tensor(const at::Tensor&)>& block,
                     const at::Tensor& x);

}  // namespace twofour::model
