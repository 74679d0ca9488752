#include "twofour/sparse/product24.h"

#include <gtest/gtest.h>

#include <ATen/ops/mm.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>

#include "twofour/sparse/mvue.h"
#include "twofour/sparse/soft_threshold.h"
#include "twofour/tensor/tensor_testing.h"

namespace twofour::sparse {
namespace {

at::Tensor sparse_weight(int64_t rows, int64_t columns, at::ScalarType dtype) {
  const at::Tensor dense = at::randn({rows, columns});
  at::Tensor out = at::zeros({rows, columns}, at::TensorOptions().dtype(dtype));
  at::Tensor mask = at::zeros({(rows * columns + 7) / 8}, at::TensorOptions().dtype(at::kByte));
  soft_threshold24(dense, 1.5, out, mask);
  return out;
}

TEST(SparseProduct, equals_the_dense_product_of_aten) {
  for (const auto& [dtype, tolerance] : {std::pair{at::kFloat, 1e-5}, {at::kBFloat16, 1e-2}}) {
    const at::Tensor weight = sparse_weight(96, 132, dtype);
    const at::Tensor x = at::randn({70, 132}).to(dtype), bias = at::randn({96}).to(dtype);
    kernels::Panel24 panel = empty_panel(dtype, 96, 132);
    fill_panel(weight, panel);
    EXPECT_LT(tensor::relative_difference(multiply_transposed(panel, x, {}), at::mm(x, weight.t())),
              tolerance);
    EXPECT_LT(tensor::relative_difference(multiply_transposed(panel, x, bias),
                                          at::mm(x, weight.t()).add(bias)),
              tolerance);
  }
}

TEST(SparseProduct, of_the_mvue_equals_that_of_the_dense_estimate) {
  const RandomStream stream{1, 2, 3, 4};
  for (const auto& [dtype, tolerance] : {std::pair{at::kFloat, 1e-5}, {at::kBFloat16, 1e-2}}) {
    const at::Tensor dz = at::randn({90, 48}).to(dtype), x = at::randn({90, 64}).to(dtype);
    at::Tensor gradient = at::zeros({48, 64});
    kernels::Panel24 panel = empty_panel(dtype, 48, 90);
    fill_panel_mvue(dz, stream, panel);
    multiply_add(panel, x, gradient);
    EXPECT_LT(tensor::relative_difference(gradient, at::mm(mvue24(dz, stream).t(), x)), tolerance);
  }
}

TEST(SparseProduct, names_a_size_that_does_not_fit) {
  kernels::Panel24 panel = empty_panel(at::kFloat, 8, 16);
  EXPECT_THAT_ERROR(multiply_transposed(panel, at::zeros({3, 12}), {}),
                    "x's width is 12, but the 2:4 matrix needs 16");
  EXPECT_THAT_ERROR(fill_panel(at::zeros({8, 16}, at::kDouble), panel), "not Double");
}

}  // namespace
}  // namespace twofour::sparse
