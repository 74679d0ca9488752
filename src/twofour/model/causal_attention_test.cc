#include "twofour/model/causal_attention.h"

#include <gtest/gtest.h>

#include <ATen/ops/randn.h>
#include <torch/csrc/autograd/autograd.h>

#include "twofour/tensor/choice.h"
#include "twofour/tensor/machine_key.h"
#include "twofour/tensor/tensor_testing.h"

namespace twofour::model {
namespace {

using Tensors = std::vector<at::Tensor>;

constexpr int64_t kBatch = 2, kHeads = 3, kTokens = 70, kWidth = 64;

// Queries, keys and values as in a layer: parts of one matrix [B T, 3 H d].
Tensors parts_of(const at::Tensor& qkv) {
  Tensors parts;
  for (const at::Tensor& part : qkv.chunk(3, 1)) {
    parts.push_back(part.view({kBatch, kTokens, kHeads, kWidth}).transpose(1, 2));
  }
  return parts;
}

// The result of attention for qkv, and the gradient of qkv.
Tensors attend_and_back(const at::Tensor& qkv, const at::Tensor& gradient) {
  const at::Tensor leaf = qkv.clone().requires_grad_();
  const Tensors parts = parts_of(leaf);
  const at::Tensor out = causal_attention(parts[0], parts[1], parts[2]);
  torch::autograd::backward({out}, {gradient});
  return {out.detach(), leaf.grad()};
}

TEST(CausalAttention, in_float32_is_that_of_float32_rounded) {
  for (const at::ScalarType dtype : {at::kBFloat16, at::kHalf}) {
    const tensor::ProductShape shape{tensor::Product::kAttention, kTokens, kWidth, kBatch * kHeads,
                                     dtype};
    const at::Tensor qkv = at::randn({kBatch * kTokens, 3 * kHeads * kWidth}).to(dtype);
    const at::Tensor gradient = at::randn({kBatch, kHeads, kTokens, kWidth}).to(dtype);
    const Tensors in_dtype = attend_and_back(qkv, gradient);
    tensor::use_choices(
        {{tensor::machine_key(), {{tensor::describe(shape), {{"run", "float32"}}}}}});
    const Tensors converted = attend_and_back(qkv, gradient);
    const Tensors exact = attend_and_back(qkv.to(at::kFloat), gradient.to(at::kFloat));
    EXPECT_TRUE(converted[0].equal(exact[0].to(dtype)));
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(converted[i].scalar_type(), dtype);
      EXPECT_LT(tensor::relative_difference(converted[i], exact[i]), 0.01);
      EXPECT_LT(tensor::relative_difference(in_dtype[i], exact[i]), 0.03);
    }
  }
}

}  // namespace
}  // namespace twofour::model
