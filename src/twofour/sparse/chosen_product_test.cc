#include <gtest/gtest.h>

#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>

#include "twofour/sparse/linear24.h"
#include "twofour/tensor/machine_key.h"
#include "twofour/tensor/mixed_product.h"
#include "twofour/tensor/tensor_testing.h"

namespace twofour::sparse {
namespace {

using tensor::MixedMeans;
using tensor::Product;
using tensor::ProductShape;

struct LayerOperands {
  at::Tensor x, weight, bias, dz;

  LayerOperands(int64_t tokens, int64_t in, int64_t out, at::ScalarType dtype)
      : x(at::randn({tokens, in}).to(dtype)),
        weight(at::randn({out, in}).to(dtype)),
        bias(at::randn({out}).to(dtype)),
        dz(at::randn({tokens, out}).to(dtype)) {}
};

// Sets a choice, as a checkpoint does.
void take(const ProductShape& shape, const char* implementation) {
  tensor::use_choices(
      {{tensor::machine_key(), {{tensor::describe(shape), {{"run", implementation}}}}}});
}

TEST(ChosenProduct, is_what_a_dense_layer_runs) {
  constexpr int64_t kTokens = 200, kIn = 80, kOut = 72;
  const LayerOperands all(kTokens, kIn, kOut, at::kBFloat16);
  const auto shape = [](Product product) {
    return ProductShape{product, kTokens, kIn, kOut, at::kBFloat16};
  };
  take(shape(Product::kPlainForward), "float32");
  take(shape(Product::kPlainInputGradient), "float32");
  take(shape(Product::kPlainWeightGradient), "float32");
  EXPECT_TRUE(forward_product(all.x, all.weight, all.bias)
                  .equal(tensor::mixed_product(MixedMeans::kFloat32, all.x, all.weight, all.bias)));
  EXPECT_TRUE(input_gradient_product(all.dz, all.weight)
                  .equal(tensor::mixed_input_gradient(MixedMeans::kFloat32, all.dz, all.weight)));
  at::Tensor gradient = at::zeros({kOut, kIn});
  add_weight_gradient_product(all.dz, all.x, gradient);
  const at::Tensor exact = all.dz.to(at::kDouble).t().mm(all.x.to(at::kDouble));
  EXPECT_LT(tensor::relative_difference(gradient, exact), 2e-6);  // not rounded to bfloat16
}

// A 2:4 kernel would refuse this weight.
TEST(ChosenProduct, of_a_2_4_layer_may_be_a_mixed_one) {
  constexpr int64_t kTokens = 48, kIn = 80, kOut = 72;
  const LayerOperands all(kTokens, kIn, kOut, at::kHalf);
  Weight24 weight24(Along::kRows, /*in_training=*/true);
  ProductShape shape{Product::kForward, kTokens, kIn, kOut, at::kHalf, /*in_training=*/true};
  take(shape, "float32");
  EXPECT_TRUE(forward_product(all.x, all.weight, all.bias, &weight24)
                  .equal(tensor::mixed_product(MixedMeans::kFloat32, all.x, all.weight, all.bias)));
}

}  // namespace
}  // namespace twofour::sparse
