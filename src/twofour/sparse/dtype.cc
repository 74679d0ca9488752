#include "twofour/sparse/dtype.h"

#include "twofour/base/error.h"

namespace twofour::sparse {

at::ScalarType dtype_named(const std::string& name) {
  if (name == "float32") return at::kFloat;
  if (name == "bfloat16") return at::kBFloat16;
  if (name == "float16") return at::kHalf;
  fail_usage("unknown dtype \"{}\": choose float32, bfloat16 or float16", printable(name));
}

}  // namespace twofour::sparse
