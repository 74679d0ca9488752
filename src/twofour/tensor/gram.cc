#include "twofour/tensor/gram.h"

#include <algorithm>
#include <functional>

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/zeros.h>

#include "twofour/base/parallel.h"

namespace twofour::tensor {
namespace {

// Panels of columns, wide enough for fast products and narrow enough that the squares on the
// diagonal, whose upper halves are computed in vain, are a small part.
constexpr int64_t kNarrowestPanel = 64, kWidestPanel = 256, kPanels = 12;

// Few enough that the inputs stay in a cache while one panel after another reads them.
constexpr int64_t kTokensAtOnce = 512;

int64_t panel_width(int64_t width) {
  const int64_t even = (width / kPanels + 15) / 16 * 16;
  return std::clamp(even, kNarrowestPanel, kWidestPanel);
}

// Calls fn(begin, end) for each panel; all threads get about as much of the triangle.
void for_panels(int64_t width, const std::function<void(int64_t begin, int64_t end)>& fn) {
  const int64_t panel = panel_width(width), panels = (width + panel - 1) / panel;
  const auto call = [&](int64_t i) { fn(i * panel, std::min(width, (i + 1) * panel)); };
  // A short panel of the triangle goes with a long one.
  parallel_for(0, (panels + 1) / 2, 1, [&](int64_t first, int64_t last) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    for (int64_t i = first; i < last; ++i) {
      call(i);
      if (panels - 1 - i != i) call(panels - 1 - i);
    }
  });
}

}  // namespace

GramSum::GramSum(int64_t width, at::ScalarType dtype) : sum_(at::zeros({width, width}, dtype)) {}

void GramSum::add(const at::Tensor& x) {
  for (int64_t token = 0; token < x.size(0); token += kTokensAtOnce) {
    const at::Tensor some = x.detach().slice(0, token, token + kTokensAtOnce);
    const at::Tensor values = some.to(sum_.scalar_type()).contiguous();
    for_panels(width(), [&](int64_t begin, int64_t end) {
      at::Tensor part = sum_.slice(0, begin, end).slice(1, 0, end);
      at::addmm_out(part, part, values.slice(1, begin, end).t(), values.slice(1, 0, end));
    });
  }
  tokens_ += x.size(0);
  is_symmetric_ = false;
}

at::Tensor GramSum::matrix() {
  if (is_symmetric_) return sum_;
  for_panels(width(), [&](int64_t begin, int64_t end) {
    sum_.slice(0, 0, begin)
        .slice(1, begin, end)
        .copy_(sum_.slice(0, begin, end).slice(1, 0, begin).t());
  });
  is_symmetric_ = true;
  return sum_;
}

GramSum GramSum::permuted(const at::Tensor& order) {
  GramSum result(width(), sum_.scalar_type());
  result.sum_ = matrix().index_select(0, order).index_select(1, order);
  result.tokens_ = tokens_;
  return result;
}

at::Tensor GramSum::norms() const { return sum_.diagonal().to(at::kFloat).sqrt(); }

}  // namespace twofour::tensor
