#pragma once

#include <string>

#include <ATen/core/Tensor.h>

namespace twofour::sparse {

/// The dtype that --dtype names: float32 or bfloat16. Throws Error (usage) otherwise.
at::ScalarType dtype_named(const std::string& name);

}  // namespace twofour::sparse
