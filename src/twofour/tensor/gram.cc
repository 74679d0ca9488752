#include "twofour/tensor/gram.h"

#include <ATen/ops/addmm.h>
#include <ATen/ops/zeros.h>

namespace twofour::tensor {
namespace {

// Below that, the full product of some columns is as fast as two smaller ones.
constexpr int64_t kWidestWhole = 128;

// A multiple of a vector's width near the middle.
int64_t middle_of(int64_t begin, int64_t end) { return begin + ((end - begin) / 2 + 15) / 16 * 16; }

// Adds the lower triangle of xᵀx for columns [begin, end): the square below the diagonal in one
// product, and the two triangles beside it in the same way.
void add_triangle(const at::Tensor& x, int64_t begin, int64_t end, at::Tensor& sum) {
  const auto columns = [&](int64_t first, int64_t last) { return x.slice(1, first, last); };
  const auto add_product = [&](int64_t first_row, int64_t last_row, int64_t first, int64_t last) {
    at::Tensor part = sum.slice(0, first_row, last_row).slice(1, first, last);
    at::addmm_out(part, part, columns(first_row, last_row).t(), columns(first, last));
  };
  if (end - begin <= kWidestWhole) return add_product(begin, end, begin, end);
  const int64_t middle = middle_of(begin, end);
  add_product(middle, end, begin, middle);
  add_triangle(x, begin, middle, sum);
  add_triangle(x, middle, end, sum);
}

// Copies it to the upper one.
void mirror_triangle(int64_t begin, int64_t end, at::Tensor& sum) {
  if (end - begin <= kWidestWhole) return;
  const int64_t middle = middle_of(begin, end);
  sum.slice(0, begin, middle)
      .slice(1, middle, end)
      .copy_(sum.slice(0, middle, end).slice(1, begin, middle).t());
  mirror_triangle(begin, middle, sum);
  mirror_triangle(middle, end, sum);
}

}  // namespace

GramSum::GramSum(int64_t width, at::ScalarType dtype) : sum_(at::zeros({width, width}, dtype)) {}

void GramSum::add(const at::Tensor& x) {
  const at::Tensor values = x.detach().to(sum_.scalar_type()).contiguous();
  add_triangle(values, 0, width(), sum_);
  tokens_ += values.size(0);
  is_symmetric_ = false;
}

at::Tensor GramSum::matrix() {
  if (!is_symmetric_) mirror_triangle(0, width(), sum_);
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
