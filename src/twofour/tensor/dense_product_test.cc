#include "twofour/tensor/dense_product.h"

#include <algorithm>

#include <gtest/gtest.h>

#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>

#include "twofour/tensor/mixed_product.h"
#include "twofour/tensor/tensor_testing.h"

namespace twofour::tensor {
namespace {

struct Operands {
  at::Tensor x, weight, bias, dz;

  Operands(int64_t tokens, int64_t in, int64_t out, at::ScalarType dtype)
      : x(at::randn({tokens, in}).to(dtype)),
        weight(at::randn({out, in}).to(dtype)),
        bias(at::randn({out}).to(dtype)),
        dz(at::randn({tokens, out}).to(dtype)) {}

  at::Tensor product(bool has_bias) const {
    const at::Tensor z = wide(x).mm(wide(weight).t());
    return has_bias ? z.add(wide(bias)) : z;
  }
  at::Tensor input_gradient() const { return wide(dz).mm(wide(weight)); }
  at::Tensor weight_gradient() const { return wide(dz).t().mm(wide(x)); }

  static at::Tensor wide(const at::Tensor& tensor) { return tensor.to(at::kDouble); }
};

// Half a unit in the last place of the largest value, plus the error of the sums.
double rounding_of(at::ScalarType dtype) {
  return dtype == at::kBFloat16 ? 0x1p-8 : dtype == at::kHalf ? 0x1p-11 : 5e-6;
}

// The last two need several blocks of a mixed product: of tokens, and of rows of the weight.
const std::vector<std::array<int64_t, 3>> kShapes = {
    {33, 40, 24}, {5, 8, 1}, {1030, 8, 12}, {3, 8, 4100}};

TEST(DenseProduct, is_the_same_in_every_way) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    for (const auto& [tokens, in, out] : kShapes) {
      const Operands all(tokens, in, out, dtype);
      for (const Implementation how : dense_implementations(dtype)) {
        SCOPED_TRACE(
            fmt::format("{} {} {} x {} x {}", name_of(how), c10::toString(dtype), tokens, in, out));
        const double most = 1.01 * rounding_of(dtype);
        for (const bool has_bias : {false, true}) {
          const at::Tensor z =
              dense_product(how, all.x, all.weight, has_bias ? all.bias : at::Tensor());
          EXPECT_EQ(z.scalar_type(), dtype);
          EXPECT_LT(relative_difference(z, all.product(has_bias)), most);
        }
        EXPECT_LT(relative_difference(dense_input_gradient(how, all.dz, all.weight),
                                      all.input_gradient()),
                  most);
        at::Tensor gradient = at::zeros({out, in});
        add_dense_weight_gradient(how, all.dz, all.x, gradient);
        add_dense_weight_gradient(how, all.dz, all.x, gradient);
        EXPECT_LT(relative_difference(gradient, all.weight_gradient().mul(2)), most);
      }
    }
  }
}

TEST(MixedProduct, rounds_sums_of_float32_once_and_weight_gradients_never) {
  for (const at::ScalarType dtype : {at::kBFloat16, at::kHalf}) {
    for (const MixedMeans means : {MixedMeans::kFloat32, MixedMeans::kMkl}) {
      if (!can_multiply(means, dtype)) continue;
      const Operands all(64, 96, 48, dtype);
      const at::Tensor exact = all.product(true);
      const at::Tensor z = mixed_product(means, all.x, all.weight, all.bias).to(at::kDouble);
      const at::Tensor bound = exact.abs().mul(rounding_of(dtype)).add(1e-4);
      EXPECT_TRUE(z.sub(exact).abs().le(bound).all().item<bool>());
      at::Tensor gradient = at::zeros({48, 96});
      add_mixed_weight_gradient(means, all.dz, all.x, gradient);
      EXPECT_LT(relative_difference(gradient, all.weight_gradient()), 2e-6);
    }
  }
  EXPECT_FALSE(can_multiply(MixedMeans::kFloat32, at::kFloat));
}

}  // namespace
}  // namespace twofour::tensor
