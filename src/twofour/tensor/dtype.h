#pragma once

#include <string>

#include <ATen/core/Tensor.h>

namespace twofour::tensor {

/// The dtype named by --dtype: float32, bfloat16 or float16. Throws Error (usage) otherwise.
at::ScalarType dtype_named(const std::string& name);

/// The inverse: float64, float32, bfloat16 or float16, as in transformers' config.json.
const char* dtype_name(at::ScalarType dtype);

}  // namespace twofour::tensor
