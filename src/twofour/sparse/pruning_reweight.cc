// The best weights for a fixed mask.
#include <algorithm>
#include <vector>

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/cholesky_solve.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_cholesky_ex.h>
#include <ATen/ops/linalg_solve_triangular.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include "twofour/base/error.h"
#include "twofour/base/parallel.h"
#include "twofour/sparse/pruning.h"
#include "twofour/sparse/pruning_products.h"

namespace twofour::sparse {
namespace {

// A weight and a Gram matrix for inputs of unit norm; a dead input stays as it is.
struct Scaled {
  at::Tensor weight, gram;
  at::Tensor norm;  // [in]: weight is W ⊙ norm
};

Scaled scaled_to_unit_norm(const at::Tensor& weight, const at::Tensor& mask,
                           const at::Tensor& gram) {
  Scaled scaled;
  scaled.weight = floats_of(weight, "the weight");
  check_gram(gram, weight.size(1));
  if (mask.sizes() != weight.sizes()) {
    fail("the mask must have the weight's sizes [{}, {}]", weight.size(0), weight.size(1));
  }
  scaled.norm = gram.diagonal().to(at::kFloat).clamp_min(0).sqrt_();
  scaled.norm.masked_fill_(scaled.norm.eq(0), 1);
  scaled.weight = scaled.weight.mul(scaled.norm);
  scaled.gram = gram.to(at::kFloat, /*non_blocking=*/false, /*copy=*/true).contiguous();
  scaled.gram.div_(scaled.norm).div_(scaled.norm.unsqueeze(1));
  return scaled;
}

// (R Rᵀ)⁻¹, by chunks of rows.
at::Tensor inverse_of(const at::Tensor& r) {
  const int64_t size = r.size(0);
  at::Tensor inverse = at::empty({size, size}, r.options());
  for_chunks(size, [&](int64_t first, int64_t last) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    at::Tensor rows = at::zeros({last - first, size}, r.options());
    rows.slice(1, first, last).diagonal().fill_(1);
    rows = at::linalg_solve_triangular(r.t(), rows, /*upper=*/false, /*left=*/false);
    inverse.slice(0, first, last)
        .copy_(at::linalg_solve_triangular(r, rows, /*upper=*/true, /*left=*/false));
  });
  return inverse;
}

// ADMM on rows of W with ρ = 1. Z and U are never both nonzero: where the mask keeps, Z is `sum` =
// Ŵ + U of the last iteration and U is 0; elsewhere Z is 0 and U is `sum`.
void iterate(const at::Tensor& weight, const at::Tensor& mask, const at::Tensor& inverse,
             int64_t iterations, const at::Tensor& sum) {
  const at::Tensor step = at::empty(weight.sizes(), weight.options());
  const at::Tensor target = at::empty(weight.sizes(), weight.options());
  const float* const w = weight.const_data_ptr<float>();
  const bool* const kept = mask.const_data_ptr<bool>();
  float *const s = sum.mutable_data_ptr<float>(), *const v = target.mutable_data_ptr<float>();
  const float* const t = step.const_data_ptr<float>();
  for (int64_t iteration = 0; iteration < iterations; ++iteration) {
    for (int64_t i = 0; i < weight.numel(); ++i) v[i] = (kept[i] ? s[i] : -s[i]) - w[i];
    // Ŵ = W + (G + I)⁻¹ (Z - U - W)
    multiply(target, inverse, 1, 0, step);
    for (int64_t i = 0; i < weight.numel(); ++i) s[i] = w[i] + t[i] + (kept[i] ? 0.0f : s[i]);
  }
}

// The row of ŵ that solves G_SS ŵ_S = (G w)_S, in float64.
at::Tensor solved_row(const at::Tensor& weight, const at::Tensor& mask, const at::Tensor& gram) {
  const at::Tensor kept = mask.nonzero().squeeze(1);
  const at::Tensor rows = gram.index_select(0, kept).to(at::kDouble);
  const at::Tensor right = rows.matmul(weight.to(at::kDouble)).unsqueeze(1);
  const auto [lower, info] = at::linalg_cholesky_ex(rows.index_select(1, kept));
  at::Tensor result = at::zeros(weight.sizes(), weight.options());
  if (info.item<int>() != 0) return weight.masked_fill(mask.logical_not(), 0);
  return result.index_copy_(0, kept, at::cholesky_solve(right, lower).squeeze(1).to(at::kFloat));
}

}  // namespace

at::Tensor reweight_admm(const at::Tensor& weight, const at::Tensor& mask, const at::Tensor& gram,
                         double damping, int64_t iterations, const at::Tensor& start) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  Scaled scaled = scaled_to_unit_norm(weight, mask, gram);
  const at::Tensor dense = floats_of(weight, "the weight");
  const at::Tensor kept = mask.to(at::kBool).contiguous();
  const at::Tensor removed = kept.logical_not();
  const at::Tensor before =
      (start.defined() ? floats_of(start, "the start") : dense).masked_fill(removed, 0);
  // With unit norms ρ = 1 is damping too.
  const HessianFactor factor = factor_hessian(scaled.gram, damping + 1, "ADMM");
  scaled.gram.reset();
  const at::Tensor inverse = inverse_of(factor.r);
  at::Tensor result = at::where(kept, before.mul(scaled.norm), scaled.weight);
  for_chunks(dense.size(0), [&](int64_t first, int64_t last) {
    const at::AutoDispatchBelowADInplaceOrView chunk_guard;
    iterate(scaled.weight.slice(0, first, last), kept.slice(0, first, last), inverse, iterations,
            result.slice(0, first, last));
  });
  result.div_(scaled.norm).masked_fill_(removed, 0);
  const at::Tensor rises =
      row_errors(dense.sub(result), gram).ge(row_errors(dense.sub(before), gram));
  return at::where(rises.unsqueeze(1), before, result);
}

at::Tensor reweight_exact(const at::Tensor& weight, const at::Tensor& mask, const at::Tensor& gram,
                          double damping) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const Scaled scaled = scaled_to_unit_norm(weight, mask, gram);
  const at::Tensor kept = mask.to(at::kBool).contiguous();
  at::Tensor diagonal = scaled.gram.diagonal();
  diagonal.masked_fill_(diagonal.eq(0), 1).add_(damping);
  at::Tensor result = at::empty(weight.sizes(), scaled.weight.options());
  // At least two ranges: see for_chunks.
  const int64_t rows = weight.size(0);
  parallel_for(0, std::max<int64_t>(rows, 2), 1, [&](int64_t first, int64_t last) {
    const at::AutoDispatchBelowADInplaceOrView row_guard;
    for (int64_t row = first; row < std::min(last, rows); ++row) {
      result[row].copy_(solved_row(scaled.weight[row], kept[row], scaled.gram));
    }
  });
  return result.div_(scaled.norm);
}

}  // namespace twofour::sparse
