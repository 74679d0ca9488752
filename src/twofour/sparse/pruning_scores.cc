// Scores and the masks that follow from them.
#include <algorithm>
#include <cmath>

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>

#include "twofour/base/error.h"
#include "twofour/base/parallel.h"
#include "twofour/kernels/masks/mask.h"
#include "twofour/kernels/pruning/select.h"
#include "twofour/sparse/pruning.h"
#include "twofour/sparse/pruning_products.h"

namespace twofour::sparse {
namespace {

// A copy of the weight's magnitudes.
at::Tensor magnitudes_of(const at::Tensor& weight) { return floats_of(weight, "the weight").abs(); }

at::Tensor norms_of(const at::Tensor& input_norm, int64_t columns) {
  if (input_norm.dim() != 1 || input_norm.size(0) != columns ||
      !at::isFloatingType(input_norm.scalar_type())) {
    fail("the norms of {} inputs must be a floating-point vector [{}]", columns, columns);
  }
  return input_norm.detach().to(at::kFloat);
}

}  // namespace

std::string Pattern::text() const {
  return is_structured() ? fmt::format("{}:{}", kept, group)
                         : fmt::format("{:g} %", 100 * sparsity);
}

void check(const Pattern& pattern) {
  const auto [kept, group, sparsity] = pattern;
  if (pattern.is_structured() && !(0 < kept && kept < group && group <= 8)) {
    fail_usage("the pattern {}:{} is not one of N:M with 0 < N < M <= 8", kept, group);
  }
  if (!pattern.is_structured() && !(sparsity > 0 && sparsity < 1)) {
    fail_usage("the sparsity {} does not lie between 0 and 1", sparsity);
  }
}

void check_fits(const Pattern& pattern, int64_t columns) {
  check(pattern);
  if (pattern.is_structured() && columns % pattern.group != 0) {
    fail("{} columns are not a multiple of {}, as {} needs", columns, pattern.group,
         pattern.text());
  }
}

at::Tensor mask_of_scores(const at::Tensor& scores, const Pattern& pattern, Share share) {
  const at::Tensor values = floats_of(scores, "the scores");
  const int64_t rows = values.size(0), columns = values.size(1);
  check_fits(pattern, columns);
  at::Tensor mask = at::empty({rows, columns}, at::TensorOptions().dtype(at::kBool));
  const float* const in = values.const_data_ptr<float>();
  auto* const out = static_cast<uint8_t*>(mask.mutable_data_ptr());
  const auto removed = [&](int64_t entries) {
    return static_cast<int64_t>(pattern.sparsity * static_cast<double>(entries));
  };
  if (pattern.is_structured()) {
    kernels::magnitude_mask(in, rows, columns, columns, static_cast<int>(pattern.kept),
                            static_cast<int>(pattern.group), out);
  } else if (share == Share::kMatrix) {
    kernels::keep_largest(in, values.numel(), removed(values.numel()), out);
  } else {
    parallel_for(0, rows, 1, [&](int64_t first, int64_t last) {
      for (int64_t row = first; row < last; ++row) {
        kernels::keep_largest(in + row * columns, columns, removed(columns), out + row * columns);
      }
    });
  }
  return mask;
}

at::Tensor wanda_scores(const at::Tensor& weight, const at::Tensor& input_norm) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  at::Tensor scores = magnitudes_of(weight);
  return scores.mul_(norms_of(input_norm, scores.size(1)));
}

at::Tensor ria_scores(const at::Tensor& weight, const at::Tensor& input_norm, double power) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  at::Tensor scores = magnitudes_of(weight);
  const auto reciprocal = [](const at::Tensor& sums) {
    return sums.reciprocal().masked_fill_(sums.eq(0), 0).to(at::kFloat);
  };
  const at::Tensor columns = reciprocal(scores.sum(0, /*keepdim=*/true, at::kDouble));
  const at::Tensor rows = reciprocal(scores.sum(1, /*keepdim=*/true, at::kDouble));
  const at::Tensor norms = norms_of(input_norm, scores.size(1)).pow(power);
  for_chunks(scores.size(0), [&](int64_t first, int64_t last) {
    const at::AutoDispatchBelowADInplaceOrView chunk_guard;
    scores.slice(0, first, last).mul_(columns.add(rows.slice(0, first, last)).mul_(norms));
  });
  return scores;
}

at::Tensor sparsegpt_scores(const at::Tensor& weight, const HessianFactor& factor) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const at::Tensor values = floats_of(weight, "the weight");
  check_gram(factor.r, values.size(1));
  return values.mul(factor.r.diagonal().masked_fill(factor.is_dead, 0)).square_();
}

at::Tensor sparsegpt_mask(const at::Tensor& weight, const HessianFactor& factor,
                          const Pattern& pattern, int64_t block) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const at::Tensor scores = sparsegpt_scores(weight, factor);
  if (pattern.is_structured()) return mask_of_scores(scores, pattern, Share::kMatrix);
  check(pattern);
  if (block < 1) fail("a block of {} columns is not possible", block);
  at::Tensor mask = at::empty(scores.sizes(), at::TensorOptions().dtype(at::kBool));
  for (int64_t first = 0; scores.numel() > 0 && first < scores.size(1); first += block) {
    const int64_t last = std::min(scores.size(1), first + block);
    const at::Tensor part = scores.slice(1, first, last).contiguous();
    const auto rank = static_cast<int64_t>(static_cast<double>(part.numel()) * pattern.sparsity);
    const float limit =
        kernels::smallest_magnitude(part.const_data_ptr<float>(), part.numel(), rank);
    mask.slice(1, first, last).copy_(part.gt(limit));
  }
  return mask;
}

}  // namespace twofour::sparse
