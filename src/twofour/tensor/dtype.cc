#include "twofour/tensor/dtype.h"

#include "twofour/base/error.h"

namespace twofour::tensor {

at::ScalarType dtype_named(const std::string& name) {
  if (name == "float32") return at::kFloat;
  if (name == "bfloat16") return at::kBFloat16;
  if (name == "float16") return at::kHalf;
  fail_usage("unknown dtype \"{}\": choose float32, bfloat16 or float16", printable(name));
}

const char* dtype_name(at::ScalarType dtype) {
  switch (dtype) {
    case at::kDouble:
      return "float64";
    case at::kFloat:
      return "float32";
    case at::kBFloat16:
      return "bfloat16";
    case at::kHalf:
      return "float16";
    case at::kFloat8_e4m3fn:
      return "float8_e4m3fn";
    case at::kFloat8_e5m2:
      return "float8_e5m2";
    default:
      fail("{} is no type of weights", c10::toString(dtype));
  }
}

}  // namespace twofour::tensor
