#include "twofour/sparse/pattern.h"

namespace twofour::sparse {

int64_t violations24(const at::Tensor& weight) {
  const at::Tensor dense = weight.detach().to(at::kFloat).contiguous();
  const float* values = dense.const_data_ptr<float>();
  int64_t violations = 0;
  for (int64_t i = 0; i < dense.numel(); i += 4) {
    int kept = 0;
    for (int64_t k = i; k < i + 4; ++k) kept += values[k] != 0.0f;
    violations += kept > 2;
  }
  return violations;
}

}  // namespace twofour::sparse
