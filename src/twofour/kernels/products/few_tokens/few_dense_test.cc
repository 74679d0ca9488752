// Compares a decode step's products with sums in double, for dense and packed weights together.
#include "twofour/kernels/products/few_tokens/few_dense.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "twofour/base/parallel.h"
#include "twofour/kernels/dispatch.h"
#include "twofour/kernels/kernels_testing.h"
#include "twofour/kernels/products/products_testing.h"

namespace twofour::kernels {
namespace {

template <class T>
class FewDense : public KernelTest {};

using Types = ::testing::Types<float, bfloat16, float16>;
TYPED_TEST_SUITE(FewDense, Types);

// A weight with its packed form, a bias, and room for its product.
template <class T>
struct Layer {
  Matrix<T> weight, bias, y;
  Packed24<T> packed;

  Layer(int64_t rows, int64_t columns, int64_t tokens, bool is_packed, std::mt19937& random)
      : weight(is_packed ? random_sparse<T>(rows, columns, random)
                         : random_matrix<T>(rows, columns, random, random() % 2 * 5)),
        bias(random_matrix<T>(1, rows, random)),
        y(random_matrix<T>(tokens, rows, random, random() % 3)) {
    if (is_packed) packed = pack24(weight.data(), rows, columns, weight.stride);
  }

  FewProduct<T> product(bool has_bias) {
    FewProduct<T> product;
    if (packed.rows > 0) {
      product.a = packed.view();
    } else {
      product.a = DenseView<T>{weight.rows, weight.columns, weight.stride, weight.data()};
    }
    if (has_bias) product.bias = bias.data();
    product.y = y.data();
    product.y_stride = y.stride;
    return product;
  }

  void expect_product(Matrix<T>& x, bool has_bias, const std::vector<T>& before) {
    for (int64_t t = 0; t < x.rows; ++t) {
      for (int64_t r = 0; r < weight.rows; ++r) {
        double sum = has_bias ? bias.get(0, r) : 0.0, size = std::fabs(sum);
        for (int64_t k = 0; k < weight.columns; ++k) {
          const double term = x.get(t, k) * weight.get(r, k);
          sum += term;
          size += std::fabs(term);
        }
        ASSERT_NEAR(y.get(t, r), sum, kRounding<T> * (size + 0.1)) << "token " << t << " row " << r;
      }
      for (int64_t gap = weight.rows; gap < y.stride; ++gap) {
        const T& old = before[static_cast<size_t>(&y.at(t, gap) - y.storage.data())];
        ASSERT_EQ(std::memcmp(&y.at(t, gap), &old, sizeof(T)), 0) << "written beyond the row";
      }
    }
  }
};

TYPED_TEST(FewDense, equals_the_sums_in_double_for_every_set_and_shape) {
  using T = TypeParam;
  std::mt19937 random(3);
  for (const InstructionSet set : instruction_sets()) {
    set_instruction_set(set);
    for (int turn = 0; turn < 24; ++turn) {
      const auto up_to = [&](uint32_t most) { return static_cast<int64_t>(1 + random() % most); };
      const int64_t tokens = turn < 5 ? turn + 1 : turn == 5 ? 70 : up_to(20);
      const bool any_packed = turn % 3 == 0;
      const int64_t columns = any_packed ? 4 * up_to(70) : up_to(300);
      SCOPED_TRACE(
          fmt::format("{} tokens {} columns {}", name_of(instruction_set()), tokens, columns));
      set_thread_count(1 + turn % 2);
      auto x = random_matrix<T>(tokens, columns, random, turn % 4);
      std::vector<Layer<T>> layers;
      for (int i = 0; i < 1 + turn % 3; ++i) {
        layers.emplace_back(up_to(150), columns, tokens, any_packed && i % 2 == 0, random);
      }
      std::vector<FewProduct<T>> products;
      std::vector<std::vector<T>> before;
      for (size_t i = 0; i < layers.size(); ++i) {
        products.push_back(layers[i].product(/*has_bias=*/i % 2 == 0));
        before.push_back(layers[i].y.storage);
      }
      multiply_few<T>(products, x.data(), tokens, x.stride);
      for (size_t i = 0; i < layers.size(); ++i) layers[i].expect_product(x, i % 2 == 0, before[i]);
    }
  }
}

// Large enough that two threads share the rows, even inside a product.
TYPED_TEST(FewDense, is_bit_identical_for_any_thread_count) {
  using T = TypeParam;
  std::mt19937 random(5);
  for (const InstructionSet set : instruction_sets()) {
    set_instruction_set(set);
    for (const int64_t tokens : {1, 3, 9}) {
      auto x = random_matrix<T>(tokens, 512, random);
      Layer<T> one(700, 512, tokens, false, random), two(500, 512, tokens, true, random);
      std::vector<T> made[2][2];
      for (const int threads : {1, 2}) {
        set_thread_count(threads);
        const std::vector<FewProduct<T>> products = {one.product(true), two.product(false)};
        multiply_few<T>(products, x.data(), tokens, x.stride);
        made[threads - 1][0] = one.y.storage;
        made[threads - 1][1] = two.y.storage;
      }
      EXPECT_EQ(bits_of_all(made[0][0]), bits_of_all(made[1][0])) << name_of(instruction_set());
      EXPECT_EQ(bits_of_all(made[0][1]), bits_of_all(made[1][1])) << name_of(instruction_set());
    }
  }
}

TYPED_TEST(FewDense, ignores_what_lies_around_the_rows) {
  using T = TypeParam;
  std::mt19937 random(6);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const InstructionSet set : instruction_sets()) {
    set_instruction_set(set);
    for (const int64_t columns : {1, 7, 31, 33, 100}) {
      Layer<T> layer(9, columns, 2, false, random);
      Matrix<T> weight(9, columns, 6);
      for (T& each : weight.storage) store(nan, each);
      for (int64_t r = 0; r < 9; ++r) {
        for (int64_t k = 0; k < columns; ++k) weight.at(r, k) = layer.weight.at(r, k);
      }
      layer.weight = weight;
      auto x = random_matrix<T>(2, columns, random, 3);
      for (int64_t k = columns; k < x.stride; ++k) store(nan, x.at(0, k));
      const auto before = layer.y.storage;
      const FewProduct<T> product = layer.product(true);
      multiply_few<T>({&product, 1}, x.data(), 2, x.stride);
      layer.expect_product(x, true, before);
    }
  }
}

TYPED_TEST(FewDense, a_nan_weight_reaches_its_own_results_only) {
  using T = TypeParam;
  std::mt19937 random(7);
  Layer<T> layer(20, 80, 3, false, random);
  store(std::numeric_limits<float>::quiet_NaN(), layer.weight.at(7, 41));
  auto x = random_matrix<T>(3, 80, random);
  for (const InstructionSet set : instruction_sets()) {
    set_instruction_set(set);
    const FewProduct<T> product = layer.product(false);
    multiply_few<T>({&product, 1}, x.data(), 3, x.stride);
    for (int64_t t = 0; t < 3; ++t) {
      for (int64_t r = 0; r < 20; ++r) EXPECT_EQ(std::isnan(layer.y.get(t, r)), r == 7);
    }
  }
}

}  // namespace
}  // namespace twofour::kernels
