#include "twofour/train/optimizer.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include "twofour/sparse/accumulate.h"

#include "testing.h"

namespace twofour::train {
namespace {

TEST(AdamW, equals_torch_over_ten_clipped_steps) {
  SKIP_WITHOUT_SHARED();
  const auto golden = testing::read_golden(testing::shared_folder() / "golden/adamw.safetensors");
  const auto tensor = [&](const std::string& name) {
    const auto& stored = golden.at(name);
    auto values = stored.floats();
    return at::from_blob(values.data(), stored.shape, at::TensorOptions().dtype(at::kFloat))
        .clone();
  };
  const at::Tensor matrix = tensor("matrix_0"), vector = tensor("vector_0");
  AdamW optimizer({{"matrix", matrix}, {"vector", vector}}, {0.9, 0.95, 1e-8, 0.1, 1.0});
  for (int step = 1; step <= 10; ++step) {
    const std::string suffix = std::to_string(step);
    sparse::add_to_gradient(matrix, tensor("matrix_grad_" + suffix));
    sparse::add_to_gradient(vector, tensor("vector_grad_" + suffix));
    EXPECT_NEAR(optimizer.step(3e-3), golden.at("norm_" + suffix).values[0], 1e-4);
    EXPECT_LT(matrix.sub(tensor("matrix_" + suffix)).abs().max().item<double>(), 1e-6);
    EXPECT_LT(vector.sub(tensor("vector_" + suffix)).abs().max().item<double>(), 1e-6);
  }
}

TEST(AdamW, decays_matrices_only) {
  const at::Tensor matrix = at::full({2, 2}, 1.0), vector = at::full({2}, 1.0);
  AdamW optimizer({{"m", matrix}, {"v", vector}}, {0.9, 0.95, 1e-8, 0.5, 1.0});
  optimizer.step(0.1);
  EXPECT_NEAR(matrix.max().item<double>(), 1.0 - 0.1 * 0.5, 1e-6);
  EXPECT_EQ(vector.max().item<double>(), 1.0);
}

TEST(AdamW, a_gradient_that_is_not_finite_updates_nothing) {
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    const at::Tensor weight = at::full({4}, 2.0);
    AdamW optimizer({{"w", weight}}, {});
    sparse::add_to_gradient(weight, at::full({4}, bad));
    EXPECT_FALSE(std::isfinite(optimizer.step(0.1)));
    EXPECT_TRUE(weight.equal(at::full({4}, 2.0)));
    EXPECT_EQ(optimizer.steps_taken(), 0);
  }
}

TEST(AdamW, clips_the_norm_over_all_parameters) {
  // Adam does not see the scale of its first gradient, so the clipped moments are looked at.
  const at::Tensor a = at::full({1}, 0.0), b = at::full({1}, 0.0);
  AdamW optimizer({{"a", a}, {"b", b}}, {0.9, 0.95, 1e-8, 0.0, 1.0});
  sparse::add_to_gradient(a, at::full({1}, 3.0));
  sparse::add_to_gradient(b, at::full({1}, 4.0));
  EXPECT_NEAR(optimizer.step(0.1), 5.0, 1e-6);
  EXPECT_NEAR(optimizer.state().at(0).second.item<double>(), 0.1 * 3.0 / 5.0, 1e-6);
  EXPECT_NEAR(optimizer.state().at(2).second.item<double>(), 0.1 * 4.0 / 5.0, 1e-6);
  EXPECT_EQ(a.grad().item<double>(), 0.0) << "a step leaves the gradients cleared";
}

}  // namespace
}  // namespace twofour::train
