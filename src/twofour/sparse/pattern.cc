#include "twofour/sparse/pattern.h"

#include <algorithm>
#include <atomic>

#include "twofour/base/parallel.h"
#include "twofour/tensor/kernel_types.h"

namespace twofour::sparse {
namespace {

constexpr int64_t kGroupsAtATime = 1 << 16;

// In groups [first, last) of four entries.
template <class T>
int64_t violations_in(const T* values, int64_t first, int64_t last) {
  int64_t violations = 0;
  for (int64_t group = first; group < last; ++group) {
    int kept = 0;
    for (int64_t i = 4 * group; i < 4 * group + 4; ++i) kept += kernels::to_float(values[i]) != 0;
    violations += kept > 2;
  }
  return violations;
}

// The weight in the form of the loops: contiguous, of a type of the kernels.
at::Tensor readable(const at::Tensor& weight) {
  const at::ScalarType dtype = weight.scalar_type();
  const bool is_known = dtype == at::kFloat || dtype == at::kBFloat16 || dtype == at::kHalf;
  return weight.detach().to(is_known ? dtype : at::kFloat).contiguous();
}

// Calls fn(values, groups).
template <class Fn>
void with_groups(const at::Tensor& weight, Fn&& fn) {
  const at::Tensor dense = readable(weight);
  tensor::with_type(dense.scalar_type(), [&](auto* type) {
    using T = tensor::Pointee<decltype(type)>;
    fn(static_cast<const T*>(dense.const_data_ptr()), dense.numel() / 4);
  });
}

}  // namespace

int64_t violations24(const at::Tensor& weight) {
  std::atomic<int64_t> violations{0};
  with_groups(weight, [&](const auto* values, int64_t groups) {
    parallel_for(0, groups, kGroupsAtATime, [&](int64_t first, int64_t last) {
      violations += violations_in(values, first, last);
    });
  });
  return violations;
}

bool is_24(const at::Tensor& weight) {
  if (weight.size(-1) % 4 != 0) return false;
  bool is_sparse = true;
  with_groups(weight, [&](const auto* values, int64_t groups) {
    for (int64_t first = 0; first < groups && is_sparse; first += kGroupsAtATime) {
      is_sparse = violations_in(values, first, std::min(first + kGroupsAtATime, groups)) == 0;
    }
  });
  return is_sparse;
}

}  // namespace twofour::sparse
