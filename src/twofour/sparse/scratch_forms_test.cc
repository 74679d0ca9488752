#include "twofour/sparse/scratch_forms.h"

#include <vector>

#include <gtest/gtest.h>

#include <ATen/ops/zeros.h>

namespace twofour::sparse {
namespace {

// Every entry in the first half of its group is `value`.
at::Tensor weight_of(double value, int64_t rows, int64_t columns) {
  at::Tensor weight = at::zeros({rows, columns});
  weight.view({-1, 4}).slice(1, 0, 2).fill_(value);
  return weight;
}

// Occupies freed memory of a panel's size, so that a new panel has another address.
std::vector<kernels::Buffer<std::byte>> others;

const void* panel_of(const at::Tensor& weight) {
  const ScratchForms forms(weight, Along::kRows);
  EXPECT_EQ(forms->count(), 0);
  const kernels::Panel24& panel = forms->panel(weight);
  EXPECT_EQ(forms->packed(weight).values.sum().item<double>(), weight.sum().item<double>());
  others.emplace_back(static_cast<size_t>(panel.bytes()));
  return panel.data();
}

TEST(ScratchForms, use_memory_again_but_never_what_is_in_it) {
  const void* memory = panel_of(weight_of(1, 24, 32));
  others.emplace_back(others.back().size());
  EXPECT_EQ(panel_of(weight_of(2, 24, 32)), memory);
}

TEST(ScratchForms, keep_the_memory_of_the_last_four_shapes) {
  const void* first = panel_of(weight_of(1, 4, 320));
  for (const int64_t rows : {8, 12, 16}) panel_of(weight_of(1, rows, 320));
  others.emplace_back(others.front().size());
  EXPECT_EQ(panel_of(weight_of(1, 4, 320)), first);
}

TEST(ScratchForms, of_two_products_at_once_are_two) {
  const at::Tensor weight = weight_of(1, 24, 48);
  const ScratchForms one(weight, Along::kRows), two(weight, Along::kRows);
  EXPECT_NE(one->panel(weight).data(), two->panel(weight).data());
}

}  // namespace
}  // namespace twofour::sparse
