#include "twofour/tensor/gram.h"

#include <random>

#include <gtest/gtest.h>

#include <ATen/Context.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>

namespace twofour::tensor {
namespace {

TEST(GramSum, equals_the_full_product_of_all_inputs_together) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    at::manual_seed(seed);
    const auto draw = [&](int64_t low, int64_t high) {
      return std::uniform_int_distribution<int64_t>(low, high)(random);
    };
    const int64_t width = draw(1, 300);
    const at::ScalarType kinds[] = {at::kFloat, at::kBFloat16, at::kHalf};
    const at::ScalarType dtype = kinds[seed % 3];
    const at::ScalarType sums = seed % 2 == 0 ? at::kFloat : at::kDouble;
    GramSum gram(width, sums);
    at::Tensor expected = at::zeros({width, width}, at::kDouble);
    int64_t tokens = 0;
    for (int64_t part = draw(1, 4); part > 0; --part) {
      const at::Tensor x = at::randn({draw(1, seed % 4 == 0 ? 1300 : 90), width}).to(dtype);
      gram.add(x);
      tokens += x.size(0);
      const at::Tensor exact = x.to(at::kDouble);
      expected.add_(exact.t().mm(exact));
      const double tolerance = sums == at::kFloat ? 1e-4 : 1e-11;
      EXPECT_TRUE(at::allclose(gram.matrix().to(at::kDouble), expected, tolerance, tolerance));
    }
    EXPECT_EQ(gram.tokens(), tokens);
    EXPECT_TRUE(at::allclose(gram.norms().to(at::kDouble), expected.diagonal().sqrt(), 1e-4, 1e-5));
  }
}

}  // namespace
}  // namespace twofour::tensor
