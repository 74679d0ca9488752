// The checks of the arguments of one-shot pruning, and its uninitialised results.
#include <cmath>

#include <ATen/ops/empty.h>

#include "twofour/base/error.h"
#include "twofour/sparse/operators_shapes.h"

namespace twofour::sparse::operators {
namespace {

int64_t size_of(const at::Tensor& tensor, int64_t dimension) {
  return tensor.sym_size(dimension).guard_int(__FILE__, __LINE__);
}

void check_weight_matrix(const at::Tensor& weight) {
  check_floating("the weight", weight);
  if (weight.dim() != 2) fail("the weight must be a matrix, not of {} dimensions", weight.dim());
}

void check_prunable(const at::Tensor& weight, int64_t kept, int64_t group) {
  check_weight_matrix(weight);
  if (kept < 1 || kept >= group || group > 8) {
    fail("the pattern {}:{} is not one of N:M with 0 < N < M <= 8", kept, group);
  }
  check_groups(weight, group);
}

// A statistic of the inputs, of any floating-point dtype.
void check_statistic(const char* what, const at::Tensor& tensor, const at::Tensor& weight,
                     int64_t dimensions) {
  if (!at::isFloatingType(tensor.scalar_type())) {
    fail("{} must have floating-point entries, not {}", what, c10::toString(tensor.scalar_type()));
  }
  if (tensor.device() != weight.device()) {
    fail("{} is on {}, but the weight on {}", what, tensor.device().str(), weight.device().str());
  }
  bool fits = tensor.dim() == dimensions;
  for (int64_t i = 0; fits && i < dimensions; ++i) {
    fits = tensor.sym_size(i) == weight.sym_size(1);
  }
  if (fits) return;
  const int64_t columns = size_of(weight, 1);
  if (dimensions == 1)
    fail("{} must be a vector [{}], for a weight of as many columns", what, columns);
  fail("{} must be a matrix [{}, {}], for a weight of as many columns", what, columns, columns);
}

at::Tensor empty_mask_of(const at::Tensor& weight) {
  return at::empty_symint(weight.sym_sizes(), weight.options().dtype(at::kBool));
}

}  // namespace

namespace shapes {

at::Tensor gram(const at::Tensor& x) {
  check_floating("x", x);
  if (x.dim() < 1) fail("x must have at least one dimension");
  const c10::SymInt width = x.sym_size(-1);
  return at::empty_symint({width, width}, x.options().dtype(at::kFloat));
}

at::Tensor wanda_mask(const at::Tensor& weight, const at::Tensor& input_norm, int64_t kept,
                      int64_t group) {
  check_prunable(weight, kept, group);
  check_statistic("the vector of input norms", input_norm, weight, 1);
  return empty_mask_of(weight);
}

std::tuple<at::Tensor, at::Tensor> sparsegpt(const at::Tensor& weight, const at::Tensor& hessian,
                                             int64_t kept, int64_t group, double sparsity,
                                             int64_t block, double damping, bool) {
  if (kept != 0 || group != 0) {
    check_prunable(weight, kept, group);
  } else {
    check_weight_matrix(weight);
    if (!(sparsity > 0 && sparsity < 1)) {
      fail("the sparsity {} does not lie between 0 and 1", sparsity);
    }
  }
  if (block < 1) fail("a block must have at least one column, not {}", block);
  if (!(damping >= 0) || std::isinf(damping)) {
    fail("the damping is {}, but must be a finite number of at least 0", damping);
  }
  check_statistic("the Hessian", hessian, weight, 2);
  return {at::empty_symint(weight.sym_sizes(), weight.options()), empty_mask_of(weight)};
}

at::Tensor swap_mask(const at::Tensor& weight, const at::Tensor& mask, const at::Tensor& hessian,
                     int64_t kept, int64_t group) {
  check_prunable(weight, kept, group);
  apply_mask(weight, mask);  // checks that the mask fits
  check_statistic("the Hessian", hessian, weight, 2);
  return empty_mask_of(weight);
}

}  // namespace shapes
}  // namespace twofour::sparse::operators
