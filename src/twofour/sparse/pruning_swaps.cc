// The error of a pruned layer, and swaps inside groups that lower it.
#include <algorithm>

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "twofour/base/error.h"
#include "twofour/base/parallel.h"
#include "twofour/kernels/pruning/swap_search.h"
#include "twofour/sparse/pruning.h"
#include "twofour/sparse/pruning_products.h"

namespace twofour::sparse {
namespace {

// Throws Error unless every group keeps as many entries as the pattern.
void check_counts(const at::Tensor& mask, const Pattern& pattern) {
  const bool* const kept = mask.const_data_ptr<bool>();
  const int64_t columns = mask.size(1);
  for (int64_t i = 0; i < mask.numel(); i += pattern.group) {
    const int64_t count = std::count(kept + i, kept + i + pattern.group, true);
    if (count == pattern.kept) continue;
    fail("the mask is not {}: row {} keeps {} of the {} entries from column {}", pattern.text(),
         i / columns, count, pattern.group, i % columns);
  }
}

// The columns of a Gram matrix in the order of the search.
at::Tensor in_order(const at::Tensor& gram, const kernels::SwapOrder& order) {
  at::Tensor ordered = at::empty({order.columns, order.size()}, gram.options());
  const float* const in = gram.const_data_ptr<float>();
  float* const out = ordered.mutable_data_ptr<float>();
  parallel_for(0, order.columns, 1, [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      const float* const from = in + row * order.columns;
      float* const to = out + row * order.size();
      for (int k = 0; k < order.group; ++k) {
        float* const entries = to + k * order.stride;
        for (int64_t g = 0; g < order.groups; ++g) entries[g] = from[g * order.group + k];
        std::fill(entries + order.groups, entries + order.stride, 0.0f);
      }
    }
  });
  return ordered;
}

}  // namespace

at::Tensor row_errors(const at::Tensor& difference, const at::Tensor& gram) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const at::Tensor d = floats_of(difference, "the difference");
  check_gram(gram, d.size(1));
  const at::Tensor g = floats_of(gram, "the Gram matrix");
  at::Tensor errors = at::empty({d.size(0)}, at::TensorOptions().dtype(at::kDouble));
  for_chunks(d.size(0), [&](int64_t first, int64_t last) {
    const at::AutoDispatchBelowADInplaceOrView chunk_guard;
    const at::Tensor rows = d.slice(0, first, last);
    const at::Tensor product = at::empty(rows.sizes(), rows.options());
    multiply(rows, g, 1, 0, product);
    const float *x = rows.const_data_ptr<float>(), *y = product.const_data_ptr<float>();
    for (int64_t row = first; row < last; ++row, x += d.size(1), y += d.size(1)) {
      double sum = 0;
      for (int64_t j = 0; j < d.size(1); ++j) sum += double{x[j]} * y[j];
      errors.mutable_data_ptr<double>()[row] = std::max(0.0, sum);
    }
  });
  return errors;
}

at::Tensor swap_mask(const at::Tensor& weight, const at::Tensor& mask, const at::Tensor& gram,
                     const Pattern& pattern, int64_t most_swaps) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const at::Tensor w = floats_of(weight, "the weight");
  const int64_t rows = w.size(0), columns = w.size(1);
  check_fits(pattern, columns);
  if (!pattern.is_structured()) fail_usage("swaps need a pattern N:M");
  check_gram(gram, columns);
  if (mask.sizes() != w.sizes()) {
    fail("the mask must have the weight's sizes [{}, {}]", rows, columns);
  }
  at::Tensor result = mask.to(at::kBool, /*non_blocking=*/false, /*copy=*/true).contiguous();
  check_counts(result, pattern);
  const kernels::SwapOrder order(columns, static_cast<int>(pattern.group));
  const at::Tensor ordered = in_order(floats_of(gram, "the Gram matrix"), order);
  auto* const kept = static_cast<uint8_t*>(result.mutable_data_ptr());
  for_chunks(rows, [&](int64_t first, int64_t last) {
    const at::AutoDispatchBelowADInplaceOrView chunk_guard;
    const at::Tensor removed = w.slice(0, first, last).masked_fill(result.slice(0, first, last), 0);
    const at::Tensor c = at::empty({last - first, order.size()}, w.options());
    multiply(removed, ordered, 1, 0, c);
    for (int64_t row = first; row < last; ++row) {
      kernels::swap_entries(order, w.const_data_ptr<float>() + row * columns,
                            ordered.const_data_ptr<float>(), most_swaps,
                            c.mutable_data_ptr<float>() + (row - first) * order.size(),
                            kept + row * columns);
    }
  });
  return result;
}

}  // namespace twofour::sparse
