// Maps a tensor's dtype to the kernels' type.
#pragma once

#include <type_traits>
#include <utility>

#include <ATen/core/Tensor.h>

#include "twofour/base/error.h"
#include "twofour/kernels/types.h"

namespace twofour::tensor {

/// Calls fn with a null pointer to the kernels' type for `dtype`.
template <class Fn>
auto with_type(at::ScalarType dtype, Fn&& fn) {
  if (dtype == at::kFloat) return fn(static_cast<float*>(nullptr));
  if (dtype == at::kBFloat16) return fn(static_cast<kernels::bfloat16*>(nullptr));
  if (dtype == at::kHalf) return fn(static_cast<kernels::float16*>(nullptr));
  fail("float32, bfloat16 or float16 is needed, not {}", c10::toString(dtype));
}

/// The type that with_type's pointer points to.
template <class Pointer>
using Pointee = std::remove_pointer_t<Pointer>;

}  // namespace twofour::tensor
