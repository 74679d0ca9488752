#include "twofour/tensor/gelu.h"

#include <gtest/gtest.h>

#include <ATen/ops/gelu.h>
#include <ATen/ops/randn.h>
#include <torch/csrc/autograd/autograd.h>

#include "twofour/tensor/tensor_testing.h"

namespace twofour::tensor {
namespace {

TEST(Gelu, has_the_values_and_gradients_of_atens) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const at::Tensor z = at::randn({40, 70}).mul(3).to(dtype).t().requires_grad_();
    const at::Tensor other = z.detach().clone().requires_grad_(),
                     dy = at::randn({70, 40}).to(dtype);
    const at::Tensor y = tensor::gelu(z), expected = at::gelu(other, "tanh");
    torch::autograd::backward({y}, {dy});
    torch::autograd::backward({expected}, {dy});
    const double tolerance = dtype == at::kFloat ? 1e-5 : 0.05;
    EXPECT_LT(largest_difference(y.detach(), expected.detach()), tolerance);
    EXPECT_LT(largest_difference(z.grad(), other.grad()), tolerance);
  }
}

}  // namespace
}  // namespace twofour::tensor
