#include "twofour/sparse/float8.h"

#include <cmath>

#include <gtest/gtest.h>

#include <ATen/ops/full.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/autograd.h>

#include "twofour/sparse/linear24.h"
#include "twofour/sparse/mvue.h"
#include "twofour/sparse/pattern.h"
#include "twofour/sparse/soft_threshold.h"
#include "twofour/tensor/accumulate.h"
#include "twofour/tensor/tensor_testing.h"

namespace twofour::sparse {
namespace {

using kernels::Float8;

struct Products {
  at::Tensor z, dx, dw, db;
};

Products products_of(Linear layer, const at::Tensor& x, const at::Tensor& dz) {
  layer.weight = layer.weight.detach().clone().requires_grad_();
  if (layer.bias.defined()) layer.bias = layer.bias.detach().clone().requires_grad_();
  const at::Tensor input = x.clone().requires_grad_();
  const at::Tensor z = linear(input, layer);
  torch::autograd::backward({z}, {dz});
  return {z.detach(), input.grad(), layer.weight.grad(),
          layer.bias.defined() ? layer.bias.grad() : at::Tensor()};
}

// S-STE's layer of `master`: W̃ = β S(W) in `dtype`, on the 2:4 kernels or not.
Linear soft_layer(const at::Tensor& master, at::ScalarType dtype, bool on_24_kernels) {
  Linear layer;
  layer.weight = master;
  layer.forward_weight = at::zeros_like(master, at::TensorOptions().dtype(dtype));
  at::Tensor mask = at::zeros({master.numel() / 8}, at::TensorOptions().dtype(at::kByte));
  soft_threshold24(master, soft_threshold_scale(master), layer.forward_weight, mask);
  layer.float8 = c10::make_intrusive<Float8Weight>();
  if (on_24_kernels) {
    layer.weight24 = c10::make_intrusive<Weight24>(Along::kRows, /*in_training=*/true);
  }
  return layer;
}

// x rounded to FP8.
at::Tensor rounded(const at::Tensor& x, Float8 format) {
  const Float8Tensor it = to_float8(x, format);
  return it.values.to(at::kDouble).div(it.scale);
}

TEST(Float8Linear, equals_the_golden_values_on_dense_and_2_4_kernels) {
  const tensor::Golden inputs("s_ste_linear"), golden("s_ste_linear_fp8");
  for (const bool on_24_kernels : {false, true}) {
    Linear layer;
    layer.weight = layer.forward_weight = inputs["weight_sparse"];
    layer.float8 = c10::make_intrusive<Float8Weight>();
    if (on_24_kernels) layer.weight24 = c10::make_intrusive<Weight24>(Along::kRows);
    const Products is = products_of(layer, inputs["x"], inputs["dz"]);
    EXPECT_LT(tensor::largest_difference(is.z, golden["z_without_bias"]), 1e-4);
    EXPECT_LT(tensor::largest_difference(is.dx, golden["dx"]), 1e-4);
    EXPECT_LT(tensor::largest_difference(is.dw, golden["dw_exact"]), 1e-4);
  }
}

// The golden values of the native layer bound the error of FP8: 2^-4 or 2^-3 per operand.
TEST(Float8Linear, is_near_the_native_golden_values_and_keeps_the_bias_exact) {
  const tensor::Golden golden("s_ste_linear");
  Linear layer = soft_layer(golden["weight"], at::kFloat, true);
  layer.bias = golden["bias"];
  const Products is = products_of(layer, golden["x"], golden["dz"]);
  EXPECT_LT(tensor::relative_difference(is.z, golden["z"]), 0.05);
  EXPECT_LT(tensor::relative_difference(is.dx, golden["dx"]), 0.1);
  EXPECT_LT(tensor::relative_difference(is.dw, golden["dw_exact"]), 0.1);
  EXPECT_GT(tensor::relative_difference(is.z, golden["z"]), 1e-3) << "nothing was rounded";
  EXPECT_LT(tensor::largest_difference(is.db, golden["db"]), 1e-5);
}

TEST(Float8Linear, forward_operands_are_e4m3_and_backward_operands_e5m2_in_every_dtype) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const bool on_24_kernels : {false, true}) {
      for (const int64_t tokens : {1, 30, 70}) {
        const Linear layer = soft_layer(at::randn({24, 40}), dtype, on_24_kernels);
        const at::Tensor x = at::randn({tokens, 40}).mul(3).to(dtype);
        const at::Tensor dz = at::randn({tokens, 24}).mul(1e-3).to(dtype);
        const Products is = products_of(layer, x, dz);
        const at::Tensor& w = layer.forward_weight;
        const at::Tensor z = rounded(x, Float8::kE4M3).mm(rounded(w, Float8::kE4M3).t());
        const at::Tensor dx = rounded(dz, Float8::kE5M2).mm(rounded(w, Float8::kE5M2));
        const at::Tensor dw = rounded(dz, Float8::kE5M2).t().mm(rounded(x, Float8::kE5M2));
        const double tolerance = dtype == at::kFloat ? 1e-5 : 0.01;
        EXPECT_LT(tensor::relative_difference(is.z, z), tolerance) << tokens;
        EXPECT_LT(tensor::relative_difference(is.dx, dx), tolerance) << tokens;
        EXPECT_LT(tensor::relative_difference(is.dw, dw), tolerance) << tokens;
        EXPECT_EQ(is.z.scalar_type(), dtype);
        EXPECT_EQ(is.dx.scalar_type(), dtype);
        EXPECT_EQ(is.dw.scalar_type(), at::kFloat);
      }
    }
  }
}

TEST(Float8Linear, zeros_give_zeros_and_the_bias) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    Linear layer = soft_layer(at::zeros({8, 8}), dtype, true);
    layer.bias = at::randn({8});
    layer.forward_bias = layer.bias.to(dtype);
    const Products is =
        products_of(layer, at::zeros({4, 8}).to(dtype), at::zeros({4, 8}).to(dtype));
    EXPECT_TRUE(is.z.equal(layer.forward_bias.expand({4, 8})));
    EXPECT_EQ(is.dx.abs().max().item<double>(), 0.0);
    EXPECT_EQ(is.dw.abs().max().item<double>(), 0.0);
  }
}

// 448 / amax exceeds float, so the product is 0 or tiny, and never NaN.
TEST(Float8Linear, tiny_operands_do_not_become_nan) {
  for (const double size : {1e-30, 1e-36, 1e-38, 1e-42}) {
    const Linear layer = soft_layer(at::randn({8, 8}), at::kFloat, false);
    const at::Tensor x = at::randn({4, 8}).mul(size), dz = at::randn({4, 8}).mul(size);
    for (const at::Tensor& operand : {x, dz}) operand.select(0, 1).zero_();  // 0 times infinity
    const Products is = products_of(layer, x, dz);
    for (const at::Tensor& product : {is.z, is.dx, is.dw}) {
      EXPECT_LE(product.abs().max().item<double>(), 1e3 * size) << size;
    }
  }
}

TEST(Float8Linear, estimated_gradients_are_rounded_after_mvue_and_stay_2_4_along_tokens) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const RandomStream stream{7, 1, 2, 3};
    const at::Tensor dz = at::randn({64, 12}).to(dtype), x = at::randn({64, 8}).to(dtype);
    const at::Tensor estimate = mvue24(dz, stream);
    const at::Tensor values = to_float8(estimate, Float8::kE5M2).values;
    EXPECT_EQ(violations24(values.t().contiguous().to(at::kFloat)), 0);
    at::Tensor gradient = at::full({12, 8}, 2.0);
    add_weight_gradient_float8(dz, x, &stream, gradient);
    const at::Tensor expected =
        rounded(estimate, Float8::kE5M2).t().mm(rounded(x, Float8::kE5M2)).add(2.0);
    EXPECT_LT(tensor::relative_difference(gradient, expected), dtype == at::kFloat ? 1e-5 : 0.01);
  }
}

TEST(Float8Weight, is_rounded_once_and_again_after_a_change) {
  at::Tensor weight = at::randn({8, 8});
  Float8Weight rounded_weight;
  const void* before = rounded_weight.forward(weight).values.const_data_ptr();
  EXPECT_EQ(rounded_weight.forward(weight).values.const_data_ptr(), before);
  const double scale = rounded_weight.backward(weight).scale;
  weight.mul_(2);
  EXPECT_EQ(rounded_weight.backward(weight).scale, scale);
  rounded_weight.changed();
  EXPECT_EQ(rounded_weight.backward(weight).scale, scale / 2);
  EXPECT_TRUE(rounded_weight.forward(weight).values.equal(to_float8(weight, Float8::kE4M3).values));
}

}  // namespace
}  // namespace twofour::sparse
