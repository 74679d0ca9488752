// Compares all implementations of few-token products with sums in double over the dense matrix.
#include "twofour/kernels/products/few_tokens/few24.h"

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

#include "testing.h"

namespace twofour::kernels {
namespace {

template <class T>
Packed24<T> pack(Matrix<T>& weight) {
  return pack24(weight.data(), weight.rows, weight.columns, weight.stride);
}

template <class T>
class Few24 : public KernelTest {};

using Types = ::testing::Types<float, bfloat16, float16>;
TYPED_TEST_SUITE(Few24, Types);

struct FewShape {
  int64_t tokens, columns, rows;
};

std::vector<FewShape> few_shapes(std::mt19937& random) {
  std::vector<FewShape> all = {{1, 4, 1},     {2, 64, 64},  {3, 68, 5},    {64, 128, 33},
                               {65, 132, 70}, {70, 8, 200}, {1, 400, 200}, {5, 96, 131},
                               {130, 36, 10}, {17, 396, 66}};
  for (int64_t tokens = 1; tokens <= 16; ++tokens) {
    const auto up_to = [&](uint32_t limit) { return static_cast<int64_t>(1 + random() % limit); };
    all.push_back({tokens, 4 * up_to(100), up_to(200)});
    all.push_back({up_to(70), 4 * up_to(100), up_to(200)});
  }
  return all;
}

template <class T>
void expect_product(Matrix<T>& weight, Matrix<T>& x, Matrix<T>& y, const std::vector<T>& before,
                    Matrix<T>* bias) {
  for (int64_t t = 0; t < x.rows; ++t) {
    for (int64_t r = 0; r < weight.rows; ++r) {
      double sum = bias ? bias->get(0, r) : 0.0, size = std::fabs(sum);
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

TYPED_TEST(Few24, equals_the_dense_product_for_every_set_shape_and_bias) {
  using T = TypeParam;
  std::mt19937 random(7);
  for (const InstructionSet set : instruction_sets()) {
    set_instruction_set(set);
    int turn = 0;
    for (const FewShape& shape : few_shapes(random)) {
      SCOPED_TRACE(fmt::format("{} tokens {} columns {} rows {}", name_of(instruction_set()),
                               shape.tokens, shape.columns, shape.rows));
      set_thread_count(1 + turn % 2);
      ++turn;
      auto weight = random_sparse<T>(shape.rows, shape.columns, random);
      auto x = random_matrix<T>(shape.tokens, shape.columns, random, turn % 5);
      auto bias = random_matrix<T>(1, shape.rows, random);
      auto y = random_matrix<T>(shape.tokens, shape.rows, random, 2);
      const auto before = y.storage;
      multiply_few(pack(weight), x.data(), shape.tokens, x.stride, y.data(), y.stride,
                   turn % 2 ? bias.data() : nullptr);
      expect_product(weight, x, y, before, turn % 2 ? &bias : nullptr);
    }
  }
}

TYPED_TEST(Few24, of_a_weight_that_is_not_packed_is_the_same) {
  using T = TypeParam;
  std::mt19937 random(17);
  for (const InstructionSet set : instruction_sets()) {
    set_instruction_set(set);
    int turn = 0;
    for (const FewShape& shape : few_shapes(random)) {
      SCOPED_TRACE(fmt::format("{} tokens {} columns {} rows {}", name_of(instruction_set()),
                               shape.tokens, shape.columns, shape.rows));
      set_thread_count(1 + turn++ % 2);
      auto weight = random_sparse<T>(shape.rows, shape.columns, random);
      auto x = random_matrix<T>(shape.tokens, shape.columns, random, turn % 5);
      auto bias = random_matrix<T>(1, shape.rows, random);
      auto packed = random_matrix<T>(shape.tokens, shape.rows, random), y = packed;
      const auto product = [&] {
        multiply_few_packing(weight.data(), shape.rows, shape.columns, weight.stride, x.data(),
                             shape.tokens, x.stride, y.data(), y.stride, bias.data());
      };
      product();
      multiply_few(pack(weight), x.data(), shape.tokens, x.stride, packed.data(), packed.stride,
                   bias.data());
      EXPECT_EQ(bits_of_all(y.storage), bits_of_all(packed.storage));
      const int64_t row = shape.rows / 2;
      for (int64_t i = 0; i < 3; ++i) store(1.0f, weight.at(row, i));
      EXPECT_THAT_ERROR(product(), fmt::format("row {} keeps more than two of the four", row));
    }
  }
}

TYPED_TEST(Few24, is_bit_identical_for_any_thread_count) {
  using T = TypeParam;
  std::mt19937 random(9);
  auto weight = random_sparse<T>(301, 388, random);
  const auto packed = pack(weight);
  for (const InstructionSet set : instruction_sets()) {
    set_instruction_set(set);
    for (const int64_t tokens : {1, 2, 6, 8, 15, 40, 64, 70}) {
      auto x = random_matrix<T>(tokens, 388, random);
      Matrix<T> y(tokens, 301), again(tokens, 301);
      set_thread_count(1);
      multiply_few(packed, x.data(), tokens, x.stride, y.data(), y.stride);
      set_thread_count(2);
      multiply_few(packed, x.data(), tokens, x.stride, again.data(), again.stride);
      EXPECT_EQ(std::memcmp(y.data(), again.data(), sizeof(T) * y.storage.size() - sizeof(T)), 0)
          << name_of(instruction_set()) << " tokens " << tokens;
    }
  }
}

TYPED_TEST(Few24, ignores_what_lies_around_the_packed_rows_and_x) {
  using T = TypeParam;
  std::mt19937 random(10);
  constexpr int64_t kColumns = 44, kRows = 9;
  auto weight = random_sparse<T>(kRows, kColumns, random);
  const auto packed = pack(weight);
  const Packed24View<T> middle = {kRows - 2, kColumns, packed.view().row_values(1),
                                  packed.view().row_positions(1)};
  for (const InstructionSet set : instruction_sets()) {
    set_instruction_set(set);
    for (const int64_t tokens : {1, 3, 20}) {
      auto x = random_matrix<T>(tokens, kColumns, random, 4);
      Matrix<T> y(tokens, kRows - 2), again(tokens, kRows - 2);
      multiply_few(middle, x.data(), tokens, x.stride, y.data(), y.stride);
      // NaN around the multiplied rows and after every token.
      auto spoiled = packed;
      const float nan = std::numeric_limits<float>::quiet_NaN();
      for (int64_t k = 0; k < kColumns / 2; ++k) {
        store(nan, spoiled.values[static_cast<size_t>(k)]);
        store(nan, spoiled.values[static_cast<size_t>((kRows - 1) * kColumns / 2 + k)]);
      }
      for (int64_t t = 0; t < tokens; ++t) {
        for (int64_t k = kColumns; k < x.stride; ++k) store(nan, x.at(t, k));
      }
      const Packed24View<T> same = {kRows - 2, kColumns, spoiled.view().row_values(1),
                                    spoiled.view().row_positions(1)};
      multiply_few(same, x.data(), tokens, x.stride, again.data(), again.stride);
      EXPECT_EQ(std::memcmp(y.data(), again.data(), sizeof(T) * y.storage.size() - sizeof(T)), 0)
          << name_of(instruction_set()) << " tokens " << tokens;
    }
  }
}

TYPED_TEST(Few24, a_nan_weight_or_input_reaches_its_own_results_only) {
  using T = TypeParam;
  std::mt19937 random(11);
  auto weight = random_sparse<T>(20, 80, random);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (int64_t i = 40; i < 44; ++i) weight.at(7, i) = T{};
  store(nan, weight.at(7, 41));
  const auto packed = pack(weight);
  for (const InstructionSet set : instruction_sets()) {
    set_instruction_set(set);
    for (const int64_t tokens : {1, 4, 19}) {
      auto x = random_matrix<T>(tokens, 80, random);
      Matrix<T> y(tokens, 20);
      multiply_few(packed, x.data(), tokens, x.stride, y.data(), y.stride);
      for (int64_t t = 0; t < tokens; ++t) {
        for (int64_t r = 0; r < 20; ++r) EXPECT_EQ(std::isnan(y.get(t, r)), r == 7);
      }
    }
  }
}

}  // namespace
}  // namespace twofour::kernels
