// Activation recomputation (Chen et al., arXiv 1604.06174): a second forward pass of a block
// replaces the memory of its activations.
#pragma once

#include <functional>

#include <ATen/core/Tensor.h>

namespace twofour::model {

/// block(x). backward only keeps x and runs `block` again, which must return the same values both
/// times and stay valid until backward.
at::Tensor recompute(const std::function<at::Tensor(const at::Tensor&)>& block,
                     const at::Tensor& x);

}  // namespace twofour::model
