#include "twofour/sparse/linear24.h"

#include <cstdlib>

#include <gtest/gtest.h>

#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/autograd.h>

#include "twofour/sparse/mvue.h"
#include "twofour/sparse/pattern.h"
#include "twofour/sparse/soft_threshold.h"
#include "twofour/tensor/accumulate.h"
#include "twofour/tensor/tensor_testing.h"

namespace twofour::sparse {
namespace {

Linear random_layer(int64_t out, int64_t in) {
  Linear layer;
  layer.weight = at::randn({out, in}).requires_grad_();
  layer.bias = at::randn({out}).requires_grad_();
  return layer;
}

TEST(Linear24, s_ste_products_equal_the_golden_values) {
  const tensor::Golden golden("s_ste_linear");
  Linear layer;
  layer.weight = golden["weight"].requires_grad_();
  layer.bias = golden["bias"].requires_grad_();
  at::Tensor forward_weight = at::zeros_like(layer.weight.detach());
  at::Tensor mask = at::zeros({layer.weight.numel() / 8}, at::kByte);
  const double scale = soft_threshold_scale(layer.weight);
  soft_threshold24(layer.weight, scale, forward_weight, mask);
  EXPECT_EQ(violations24(forward_weight), 0);
  layer.forward_weight = forward_weight;
  const at::Tensor x = golden["x"].requires_grad_();
  const at::Tensor z = linear(x, layer);
  torch::autograd::backward({z}, {golden["dz"]});
  EXPECT_LT(tensor::largest_difference(z.detach(), golden["z"]), 1e-5);
  EXPECT_LT(tensor::largest_difference(x.grad(), golden["dx"]), 1e-5);
  EXPECT_LT(tensor::largest_difference(layer.weight.grad(), golden["dw_exact"]), 1e-5);
  EXPECT_LT(tensor::largest_difference(layer.bias.grad(), golden["db"]), 1e-5);
}

TEST(Linear24, gradients_accumulate_in_one_buffer) {
  Linear layer = random_layer(12, 8);
  const at::Tensor x = at::randn({16, 8}), dz = at::randn({16, 12});
  tensor::gradient_of(layer.weight);
  const void* buffer = layer.weight.grad().const_data_ptr();
  for (int pass = 1; pass <= 3; ++pass) {
    torch::autograd::backward({linear(x, layer)}, {dz});
    EXPECT_EQ(layer.weight.grad().const_data_ptr(), buffer);
    EXPECT_LT(tensor::largest_difference(layer.weight.grad(), dz.t().mm(x).mul(pass)), 1e-4);
    EXPECT_LT(tensor::largest_difference(layer.bias.grad(), dz.sum(0).mul(pass)), 1e-4);
  }
}

TEST(Linear24, frozen_parameters_get_no_gradients) {
  const at::Tensor x = at::randn({16, 8}), dz = at::randn({16, 12});
  for (const bool weight : {false, true}) {
    for (const bool bias : {false, true}) {
      Linear layer = random_layer(12, 8);
      layer.weight.set_requires_grad(weight);
      layer.bias.set_requires_grad(bias);
      const at::Tensor input = x.clone().requires_grad_();
      torch::autograd::backward({linear(input, layer)}, {dz});
      EXPECT_EQ(layer.weight.grad().defined(), weight);
      EXPECT_EQ(layer.bias.grad().defined(), bias);
      EXPECT_LT(tensor::largest_difference(input.grad(), dz.mm(layer.weight.detach())), 1e-4);
    }
  }
}

TEST(Linear24, bfloat16_products_add_to_float32_gradients) {
  Linear layer = random_layer(12, 8);
  layer.forward_weight = layer.weight.detach().to(at::kBFloat16);
  layer.forward_bias = layer.bias.detach().to(at::kBFloat16);
  const at::Tensor x = at::randn({16, 8}).to(at::kBFloat16).requires_grad_();
  const at::Tensor dz = at::randn({16, 12}).to(at::kBFloat16);
  const at::Tensor z = linear(x, layer);
  EXPECT_EQ(z.scalar_type(), at::kBFloat16);
  torch::autograd::backward({z}, {dz});
  EXPECT_EQ(layer.weight.grad().scalar_type(), at::kFloat);
  const at::Tensor exact = dz.to(at::kFloat).t().mm(x.detach().to(at::kFloat));
  EXPECT_LT(tensor::largest_difference(layer.weight.grad(), exact), 0.1);
  EXPECT_EQ(x.grad().scalar_type(), at::kBFloat16);
}

// W̃ 2:4 along both sides: entries with odd row + column, two of every four in rows and columns.
at::Tensor checkered(at::Tensor weight) {
  auto rows = weight.accessor<float, 2>();
  for (int64_t r = 0; r < rows.size(0); ++r) {
    for (int64_t c = 0; c < rows.size(1); ++c) rows[r][c] *= static_cast<float>((r + c) % 2);
  }
  return weight;
}

TEST(Linear24, sparse_kernels_give_the_products_of_the_dense_ones) {
  setenv("TWOFOUR_TUNE", "off", 1);  // 2:4 kernels even if they are slower
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    for (const int64_t tokens : {1, 30, 70}) {
      Linear layer = random_layer(24, 40);
      layer.forward_weight = checkered(at::randn({24, 40})).to(dtype);
      layer.forward_bias = layer.bias.detach().to(dtype);
      layer.weight_gradient = WeightGradient::kMvue;
      layer.stream = {1, 2, 3, 4};
      const at::Tensor dz = at::randn({tokens, 24}).to(dtype),
                       x = at::randn({tokens, 40}).to(dtype);
      const auto run = [&](Linear one) {
        one.weight = one.weight.detach().clone().requires_grad_();
        const at::Tensor input = x.clone().requires_grad_();
        const at::Tensor z = linear(input, one);
        torch::autograd::backward({z}, {dz});
        return std::vector<at::Tensor>{z.detach(), input.grad(), one.weight.grad()};
      };
      const auto dense = run(layer);
      layer.weight24 = c10::make_intrusive<Weight24>(Along::kBothSides);
      const auto sparse = run(layer);
      const double tolerance = dtype == at::kFloat ? 1e-4 : 0.15;
      for (size_t i = 0; i < dense.size(); ++i) {
        EXPECT_EQ(sparse[i].scalar_type(), dense[i].scalar_type());
        EXPECT_LT(tensor::largest_difference(sparse[i].to(at::kFloat), dense[i].to(at::kFloat)),
                  tolerance)
            << c10::toString(dtype) << " " << tokens << " tokens, product " << i;
      }
    }
  }
}

TEST(Linear24, of_any_number_of_outputs_has_an_input_gradient) {
  Linear layer = random_layer(5, 8);
  layer.forward_weight = checkered(at::randn({5, 8}));
  layer.weight24 = c10::make_intrusive<Weight24>(Along::kRows);
  const at::Tensor x = at::randn({9, 8}).requires_grad_(), dz = at::randn({9, 5});
  torch::autograd::backward({linear(x, layer)}, {dz});
  EXPECT_LT(tensor::largest_difference(x.grad(), dz.mm(layer.forward_weight)), 1e-5);
}

TEST(Weight24, follows_the_weight_when_told) {
  at::Tensor weight = checkered(at::randn({8, 12}));
  const at::Tensor x = at::randn({70, 12});
  Weight24 weight24(Along::kRows);
  const auto error = [&] {
    return tensor::largest_difference(multiply_transposed(weight24.panel(weight), x, {}),
                                      x.mm(weight.t()));
  };
  EXPECT_LT(error(), 1e-5);
  weight.mul_(2);
  EXPECT_GT(error(), 0.1);
  weight24.changed();
  EXPECT_LT(error(), 1e-5);
  weight.fill_(1);
  weight24.changed();
  EXPECT_THAT_ERROR(weight24.panel(weight), "not 2:4 sparse");
}

TEST(Linear24, mvue_gradient_is_unbiased_and_differs_by_step_and_micro_batch) {
  Linear layer = random_layer(8, 8);
  layer.weight_gradient = WeightGradient::kMvue;
  layer.stream = {7, 0, 0, 3};
  const at::Tensor x = at::randn({32, 8}), dz = at::randn({32, 8});
  const auto gradient = [&](uint32_t step, uint32_t micro_batch) {
    layer.stream.step = step;
    layer.stream.micro_batch = micro_batch;
    tensor::gradient_of(layer.weight).zero_();
    torch::autograd::backward({linear(x, layer)}, {dz});
    return layer.weight.grad().clone();
  };
  EXPECT_TRUE(gradient(1, 0).equal(gradient(1, 0)));
  EXPECT_FALSE(gradient(1, 0).equal(gradient(2, 0)));
  EXPECT_FALSE(gradient(1, 0).equal(gradient(1, 1)));
  constexpr int kDraws = 4000;
  at::Tensor sum = at::zeros({8, 8}), squares = at::zeros({8, 8});
  for (int draw = 0; draw < kDraws; ++draw) {
    const at::Tensor one = gradient(static_cast<uint32_t>(draw), 9);
    sum.add_(one);
    squares.add_(one.mul(one));
  }
  const at::Tensor mean = sum.div(kDraws);
  const at::Tensor error = squares.div(kDraws).sub(mean.mul(mean)).div(kDraws).sqrt();
  // 64 entries, five standard errors: a failure by chance once in about 30 000 runs.
  const at::Tensor deviation = mean.sub(dz.t().mm(x)).abs().div(error);
  EXPECT_LT(deviation.max().item<double>(), 5.0);
}

TEST(Mvue24, refuses_other_types) {
  EXPECT_THAT_ERROR(mvue24(at::zeros({4, 4}, at::kDouble), {}),
                    "float32, bfloat16 or float16 is needed");
}

TEST(SoftThreshold24, refuses_a_width_that_no_group_divides) {
  EXPECT_THAT_ERROR(soft_threshold_scale(at::zeros({4, 6})), "multiple of 4");
}

}  // namespace
}  // namespace twofour::sparse
