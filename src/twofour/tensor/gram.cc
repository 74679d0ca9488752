#include "twofour/tensor/gram.h"

#include <algorithm>

#include <ATen/ops/addmm.h>
#include <ATen/ops/zeros.h>

namespace twofour::tensor {
namespace {

constexpr int64_t kNarrowestPanel = 64;
constexpr int64_t kPanels = 16;  // the diagonal blocks add 1/16 to half of the arithmetic

int64_t panel_width(int64_t width) {
  const int64_t even = (width + kPanels - 1) / kPanels;
  return std::max(kNarrowestPanel, (even + 15) / 16 * 16);
}

}  // namespace

GramSum::GramSum(int64_t width, at::ScalarType dtype) : sum_(at::zeros({width, width}, dtype)) {}

void GramSum::add(const at::Tensor& x) {
  const at::Tensor values = x.detach().to(sum_.scalar_type()).contiguous();
  const int64_t panel = panel_width(width());
  for (int64_t begin = 0; begin < width(); begin += panel) {
    const int64_t end = std::min(begin + panel, width());
    at::Tensor part = sum_.slice(0, begin, end).slice(1, 0, end);
    at::addmm_out(part, part, values.slice(1, begin, end).t(), values.slice(1, 0, end));
  }
  tokens_ += values.size(0);
  is_symmetric_ = false;
}

at::Tensor GramSum::matrix() {
  if (!is_symmetric_) {
    const int64_t panel = panel_width(width());
    for (int64_t begin = 0; begin < width(); begin += panel) {
      const int64_t end = std::min(begin + panel, width());
      sum_.slice(0, 0, begin)
          .slice(1, begin, end)
          .copy_(sum_.slice(0, begin, end).slice(1, 0, begin).t());
    }
    is_symmetric_ = true;
  }
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
