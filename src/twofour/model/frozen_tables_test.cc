// Tables that require no gradients get none.
#include <gtest/gtest.h>

#include <ATen/ops/arange.h>
#include <ATen/ops/randn.h>
#include <torch/csrc/autograd/autograd.h>

#include "twofour/model/embedding.h"
#include "twofour/model/loss.h"

namespace twofour::model {
namespace {

Table random_table(int64_t rows, bool is_trained) {
  return {at::randn({rows, 8}).requires_grad_(is_trained), {}};
}

TEST(FrozenTables, of_an_output_matrix_leave_the_gradient_of_the_hidden_states) {
  const at::Tensor hidden = at::randn({6, 8});
  const std::vector<int64_t> targets = {1, 4, 0, 10, 3, 3};
  Table table = random_table(11, true);
  const auto gradient_of_hidden = [&] {
    const at::Tensor input = hidden.clone().requires_grad_();
    torch::autograd::backward({next_token_loss(table, input, targets, 1.0)});
    return input.grad();
  };
  const at::Tensor expected = gradient_of_hidden();
  EXPECT_TRUE(table.weight.grad().defined());
  table.weight = table.weight.detach().clone();
  EXPECT_TRUE(gradient_of_hidden().equal(expected));
  EXPECT_FALSE(table.weight.grad().defined());
}

TEST(FrozenTables, of_embeddings_stay_without_gradients_beside_trained_ones) {
  const at::Tensor ids = at::arange(6).view({2, 3});
  const auto embedded = [&](const Table& tokens, const Table& positions) {
    return embed(tokens, positions, ids).sum();
  };
  const Table tokens = random_table(9, true), frozen = random_table(4, false);
  torch::autograd::backward({embedded(tokens, frozen)});
  EXPECT_TRUE(tokens.weight.grad().defined());
  EXPECT_FALSE(frozen.weight.grad().defined());
  EXPECT_FALSE(embedded(random_table(9, false), frozen).requires_grad());
}

}  // namespace
}  // namespace twofour::model
