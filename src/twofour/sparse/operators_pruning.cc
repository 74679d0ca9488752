// One-shot pruning, on the CPU.
#include "twofour/base/error.h"
#include "twofour/sparse/operators.h"
#include "twofour/sparse/operators_shapes.h"
#include "twofour/sparse/pruning.h"
#include "twofour/sparse/pruning_products.h"
#include "twofour/tensor/gram.h"

namespace twofour::sparse::operators {
namespace {

// The weight in float32.
at::Tensor finite_weight(const at::Tensor& weight) {
  const at::Tensor values = floats_of(weight, "the weight");
  if (!is_finite(values)) fail("the weight has an entry that is not finite");
  return values;
}

}  // namespace

at::Tensor gram(const at::Tensor& x) {
  shapes::gram(x);
  tensor::GramSum sum(x.size(-1), at::kFloat);
  if (x.numel() > 0) sum.add(x.reshape({-1, x.size(-1)}));
  return sum.matrix();
}

at::Tensor wanda_mask(const at::Tensor& weight, const at::Tensor& input_norm, int64_t kept,
                      int64_t group) {
  shapes::wanda_mask(weight, input_norm, kept, group);
  const at::Tensor norms = input_norm.detach().to(at::kFloat).contiguous();
  if (!is_finite(norms)) fail("the vector of input norms has an entry that is not finite");
  return mask_of_scores(wanda_scores(finite_weight(weight), norms), {kept, group, 0},
                        Share::kMatrix);
}

std::tuple<at::Tensor, at::Tensor> sparsegpt(const at::Tensor& weight, const at::Tensor& hessian,
                                             int64_t kept, int64_t group, double sparsity,
                                             int64_t block, double damping, bool update) {
  auto result = shapes::sparsegpt(weight, hessian, kept, group, sparsity, block, damping, update);
  if (weight.numel() == 0) return result;
  const Pattern pattern = {kept, group, sparsity};
  const at::Tensor values = finite_weight(weight);
  const HessianFactor factor = factor_hessian(hessian, damping, "sparsegpt");
  if (update) {
    const PrunedWeight pruned = sparse::sparsegpt(values, factor, pattern, block);
    return {pruned.weight.to(weight.scalar_type()), pruned.mask};
  }
  const at::Tensor mask = sparsegpt_mask(values, factor, pattern, block);
  return {apply_mask(weight, mask), mask};
}

at::Tensor swap_mask(const at::Tensor& weight, const at::Tensor& mask, const at::Tensor& hessian,
                     int64_t kept, int64_t group) {
  const at::Tensor result = shapes::swap_mask(weight, mask, hessian, kept, group);
  if (weight.numel() == 0) return result;
  const at::Tensor gram = floats_of(hessian, "the Hessian");
  if (!is_finite(gram)) fail("the Hessian has an entry that is not finite");
  return sparse::swap_mask(finite_weight(weight), mask, gram, {kept, group, 0});
}

}  // namespace twofour::sparse::operators
