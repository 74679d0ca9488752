#pragma once

#include <ATen/core/Tensor.h>

namespace twofour::sparse {

/// GELU in the tanh form of z (float32, bfloat16 or float16), with autograd: on the CPU one pass
/// over memory forward and one backward (kernels/training/gelu.h), elsewhere ATen's.
at::Tensor gelu(const at::Tensor& z);

}  // namespace twofour::sparse
