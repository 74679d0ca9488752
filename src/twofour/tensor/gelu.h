#pragma once

#include <ATen/core/Tensor.h>

namespace twofour::tensor {

/// GELU in the tanh form of z (float32, bfloat16 or float16), with autograd. On the CPU, forward
/// and backward are one pass over memory each (kernels/training/gelu.h); elsewhere it is ATen's.
at::Tensor gelu(const at::Tensor& z);

}  // namespace twofour::tensor
