#pragma once

#include <string>

#include <ATen/core/Tensor.h>

namespace twofour::tensor {

/// The dtype that --dtype names: float32, bfloat16 or float16. Throws Error (usage) otherwise.
at::ScalarType dtype_named(const std::string& name);

/// The name back: float64, float32, bfloat16 or float16, as transformers' config.json has it too.
const char* dtype_name(at::ScalarType dtype);

}  // namespace twofour::tensor
