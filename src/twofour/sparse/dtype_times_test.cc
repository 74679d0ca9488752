#include "twofour/sparse/dtype_times.h"

#include <cstdlib>

#include <gtest/gtest.h>

#include "twofour/tensor/machine_key.h"
#include "twofour/tensor/tensor_testing.h"

namespace twofour::sparse {
namespace {

using tensor::Product;

// Sets the time of a product of the layer, as a checkpoint does.
void take(Product product, at::ScalarType dtype, double ms, bool in_training = false) {
  const tensor::ProductShape shape{product, 512, 768, 3072, dtype, in_training};
  tensor::use_choices(
      {{tensor::machine_key(),
        {{tensor::describe(shape), {{"run", "dense"}, {"dense_ms", ms}, {"sparse_ms", 2 * ms}}}}}});
}

class DtypeTimesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    setenv("XDG_CACHE_HOME", folder_.path().c_str(), 1);
    setenv("TWOFOUR_TUNE", "on", 1);
  }
  void TearDown() override {
    unsetenv("XDG_CACHE_HOME");
    setenv("TWOFOUR_TUNE", "off", 1);
  }

  testing::TemporaryFolder folder_;
};

TEST_F(DtypeTimesTest, are_the_sums_of_the_three_products) {
  for (const auto& [dtype, ms] : {std::pair{at::kFloat, 1.0}, {at::kBFloat16, 3.0}}) {
    take(Product::kPlainForward, dtype, ms);
    take(Product::kPlainInputGradient, dtype, 2 * ms);
    take(Product::kPlainWeightGradient, dtype, 4 * ms);
    take(Product::kForward, dtype, 10 * ms, /*in_training=*/true);
    take(Product::kInputGradient, dtype, 20 * ms, /*in_training=*/true);
    take(Product::kWeightGradient, dtype, 40 * ms);
  }
  const auto dense = dtype_times({at::kBFloat16, at::kFloat});
  ASSERT_EQ(dense.size(), 2u);
  EXPECT_EQ(dense[0].ms, 21.0);
  EXPECT_EQ(dense[1].ms, 7.0);
  EXPECT_EQ(fastest_dtype(dense), at::kFloat);
  const auto fst = dtype_times({at::kFloat}, SparseUse{Along::kBothSides, WeightGradient::kMvue});
  EXPECT_EQ(fst.at(0).ms, 77.0);
}

TEST_F(DtypeTimesTest, are_none_where_nothing_may_be_measured) {
  setenv("TWOFOUR_TUNE", "off", 1);
  EXPECT_TRUE(dtype_times({at::kFloat}).empty());
}

TEST(FastestDtype, is_float32_unless_another_is_clearly_faster) {
  EXPECT_EQ(fastest_dtype({{at::kFloat, 10}, {at::kBFloat16, 9.5}}), at::kFloat);
  EXPECT_EQ(fastest_dtype({{at::kFloat, 10}, {at::kBFloat16, 8.5}}), at::kBFloat16);
  EXPECT_EQ(fastest_dtype({{at::kHalf, 8}, {at::kFloat, 10}, {at::kBFloat16, 7}}), at::kBFloat16);
}

}  // namespace
}  // namespace twofour::sparse
