// Compares all implementations of 2:4 products with sums in double over the dense matrix.
#include "twofour/kernels/products/many_tokens/product24.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "twofour/base/parallel.h"
#include "twofour/kernels/buffer.h"
#include "twofour/kernels/dispatch.h"
#include "twofour/kernels/kernels_testing.h"
#include "twofour/kernels/mvue/mvue.h"
#include "twofour/kernels/products/products_testing.h"

#include "testing.h"

namespace twofour::kernels {
namespace {

template <class T>
class Product24 : public KernelTest {};

using Types = ::testing::Types<float, bfloat16, float16>;
TYPED_TEST_SUITE(Product24, Types);

struct ManyShape {
  int64_t tokens, columns, rows;
};

std::vector<ManyShape> many_shapes(std::mt19937& random) {
  std::vector<ManyShape> all = {
      {1, 4, 1}, {64, 64, 64}, {65, 68, 5}, {16, 128, 33}, {200, 132, 70}};
  for (int i = 0; i < 25; ++i) {
    const auto up_to = [&](uint32_t limit) { return static_cast<int64_t>(1 + random() % limit); };
    all.push_back({up_to(140), 4 * up_to(50), up_to(100)});
  }
  all.push_back({70, 72, 1100});  // more rows than in a task
  // More columns than in a block, with one or more tiles of tokens; more tokens than are packed
  // together.
  all.insert(all.end(), {{1, 1700, 130},
                         {7, 1700, 130},
                         {150, 1700, 40},
                         {150, 2400, 20},
                         {1040, 36, 20},
                         {700, 1100, 20}});
  return all;
}

TYPED_TEST(Product24, equals_the_dense_product_for_every_set_shape_and_bias) {
  using T = TypeParam;
  std::mt19937 random(7);
  for (const InstructionSet set : instruction_sets()) {
    set_instruction_set(set);
    int turn = 0;
    for (const ManyShape& shape : many_shapes(random)) {
      SCOPED_TRACE(fmt::format("{} tokens {} columns {} rows {}", name_of(set), shape.tokens,
                               shape.columns, shape.rows));
      set_thread_count(1 + turn % 2);
      ++turn;
      auto weight = random_sparse<T>(shape.rows, shape.columns, random, turn % 3);
      auto x = random_matrix<T>(shape.tokens, shape.columns, random, turn % 5);
      auto bias = random_matrix<T>(1, shape.rows, random);
      Matrix<T> y(shape.tokens, shape.rows, 2);
      Panel24 panel(panel_kind<T>(), shape.rows, shape.columns);
      fill_panel(weight.data(), weight.stride, panel);
      const auto untouched = y.storage;
      multiply_transposed(panel, x.data(), shape.tokens, x.stride, y.data(), y.stride,
                          turn % 2 ? bias.data() : nullptr);
      for (int64_t t = 0; t < shape.tokens; ++t) {
        for (int64_t r = 0; r < shape.rows; ++r) {
          double sum = turn % 2 ? bias.get(0, r) : 0.0, size = std::fabs(sum);
          for (int64_t k = 0; k < shape.columns; ++k) {
            const double term = static_cast<double>(x.get(t, k)) * weight.get(r, k);
            sum += term;
            size += std::fabs(term);
          }
          ASSERT_NEAR(y.get(t, r), sum, kRounding<T> * (size + 0.1))
              << "token " << t << " row " << r;
        }
        for (int64_t gap = shape.rows; gap < y.stride; ++gap) {
          ASSERT_EQ(std::memcmp(&y.at(t, gap),
                                untouched.data() + (&y.at(t, gap) - y.storage.data()), sizeof(T)),
                    0);
        }
      }
    }
  }
}

TYPED_TEST(Product24, adds_the_product_with_rows_for_every_set_and_shape) {
  using T = TypeParam;
  std::mt19937 random(8);
  for (const InstructionSet set : instruction_sets()) {
    set_instruction_set(set);
    for (const ManyShape& shape : many_shapes(random)) {
      SCOPED_TRACE(fmt::format("{} width {} columns {} rows {}", name_of(set), shape.tokens,
                               shape.columns, shape.rows));
      auto weight = random_sparse<T>(shape.rows, shape.columns, random);
      auto x = random_matrix<T>(shape.columns, shape.tokens, random, 3);
      auto y = random_matrix<float>(shape.rows, shape.tokens, random, 1);
      auto before = y;
      Panel24 panel(panel_kind<T>(), shape.rows, shape.columns);
      fill_panel(weight.data(), weight.stride, panel);
      multiply_add(panel, x.data(), shape.tokens, x.stride, y.data(), y.stride);
      for (int64_t r = 0; r < shape.rows; ++r) {
        for (int64_t n = 0; n < shape.tokens; ++n) {
          double sum = before.get(r, n), size = std::fabs(sum);
          for (int64_t k = 0; k < shape.columns; ++k) {
            const double term = static_cast<double>(x.get(k, n)) * weight.get(r, k);
            sum += term;
            size += std::fabs(term);
          }
          ASSERT_NEAR(y.get(r, n), sum, 1e-6 * (size + 0.1)) << "row " << r << " column " << n;
        }
      }
    }
  }
}

TYPED_TEST(Product24, is_bit_identical_for_any_thread_count) {
  using T = TypeParam;
  std::mt19937 random(9);
  auto weight = random_sparse<T>(300, 192, random);
  auto x = random_matrix<T>(150, 192, random);
  for (const InstructionSet set : instruction_sets()) {
    SCOPED_TRACE(name_of(set));
    set_instruction_set(set);
    Panel24 panel(panel_kind<T>(), 300, 192);
    fill_panel(weight.data(), weight.stride, panel);
    Matrix<T> y(150, 300), again(150, 300);
    set_thread_count(1);
    multiply_transposed(panel, x.data(), 150, x.stride, y.data(), y.stride);
    set_thread_count(2);
    multiply_transposed(panel, x.data(), 150, x.stride, again.data(), again.stride);
    EXPECT_EQ(std::memcmp(y.data(), again.data(), sizeof(T) * 150 * 300), 0);
  }
}

// Results larger than the caches are stored past them, in whole lines.
TYPED_TEST(Product24, of_many_tokens_is_that_of_some_after_the_other) {
  using T = TypeParam;
  constexpr int64_t kColumns = 64, kRows = 4100, kStride = 4128;
  constexpr int64_t kTokens = (int64_t{9} << 20) / (kRows * static_cast<int64_t>(sizeof(T)));
  std::mt19937 random(9);
  auto weight = random_sparse<T>(kRows, kColumns, random);
  auto x = random_matrix<T>(kTokens, kColumns, random);
  auto bias = random_matrix<T>(1, kRows, random);
  for (const InstructionSet set : instruction_sets()) {
    SCOPED_TRACE(name_of(set));
    set_instruction_set(set);
    Panel24 panel(panel_kind<T>(), kRows, kColumns);
    fill_panel(weight.data(), weight.stride, panel);
    for (const int64_t offset : {0, 1}) {  // from the start of a 64-byte line
      Buffer<T> whole, parts;
      for (Buffer<T>* y : {&whole, &parts}) {
        y->resize(static_cast<size_t>(kTokens * kStride + offset));
        std::fill(y->data(), y->data() + y->size(), T{});
      }
      multiply_transposed(panel, x.data(), kTokens, x.stride, whole.data() + offset, kStride,
                          bias.data());
      for (int64_t t = 0; t < kTokens; t += 32) {
        multiply_transposed(panel, x.data() + t * x.stride, std::min<int64_t>(32, kTokens - t),
                            x.stride, parts.data() + offset + t * kStride, kStride, bias.data());
      }
      EXPECT_EQ(std::memcmp(whole.data(), parts.data(), sizeof(T) * whole.size()), 0) << offset;
    }
  }
}

TYPED_TEST(Product24, the_transposed_panel_is_the_panel_of_the_transposed_matrix) {
  using T = TypeParam;
  std::mt19937 random(10);
  auto weight = random_sparse<T>(40, 72, random);
  Matrix<T> transposed(72, 40);
  for (int64_t r = 0; r < 40; ++r) {
    for (int64_t c = 0; c < 72; ++c) transposed.at(c, r) = weight.at(r, c);
  }
  for (const InstructionSet set : instruction_sets()) {
    SCOPED_TRACE(name_of(set));
    set_instruction_set(set);
    Panel24 direct(panel_kind<T>(), 40, 72), other(panel_kind<T>(), 40, 72);
    fill_panel(weight.data(), weight.stride, direct);
    fill_panel_transposed(transposed.data(), transposed.stride, other);
    ASSERT_EQ(direct.bytes(), other.bytes());
    EXPECT_EQ(std::memcmp(direct.data(), other.data(), static_cast<size_t>(direct.bytes())), 0);
  }
}

class PanelTest : public KernelTest {};

TEST_F(PanelTest, refuses_what_is_not_2_4_and_a_panel_of_another_kind) {
  std::vector<float> weight(4 * 8, 0.0f);
  weight[16] = weight[17] = weight[18] = 1.0f;
  for (const InstructionSet set : instruction_sets()) {
    SCOPED_TRACE(name_of(set));
    set_instruction_set(set);
    Panel24 panel(panel_kind<float>(), 4, 8);
    EXPECT_THAT_ERROR(fill_panel(weight.data(), 8, panel),
                      "row 2 keeps more than two of the four entries from column 0");
    Panel24 of_bfloat16(panel_kind<bfloat16>() == panel_kind<float>() ? PanelKind::kBfloat16Tiles
                                                                      : panel_kind<bfloat16>(),
                        4, 8);
    EXPECT_THAT_ERROR(fill_panel(weight.data(), 8, of_bfloat16), "another kind");
  }
}

TEST_F(PanelTest, of_an_mvue_estimate_multiplies_as_the_estimate_does) {
  const RandomStream stream{5, 6, 7, 8};
  std::mt19937 random(11);
  for (const InstructionSet set : instruction_sets()) {
    SCOPED_TRACE(name_of(set));
    set_instruction_set(set);
    for (const int64_t tokens : {1, 6, 64, 131}) {
      const int64_t features = 37, width = 50;
      auto dz = random_matrix<bfloat16>(tokens, features, random);
      auto x = random_matrix<bfloat16>(tokens, width, random);
      Matrix<bfloat16> estimate(tokens, features);
      mvue24(dz.data(), tokens, features, features, stream, estimate.data());
      Panel24 panel(panel_kind<bfloat16>(), features, tokens);
      fill_panel_mvue(dz.data(), features, stream, panel);
      Matrix<float> y(features, width);
      multiply_add(panel, x.data(), width, width, y.data(), width);
      for (int64_t f = 0; f < features; ++f) {
        for (int64_t n = 0; n < width; ++n) {
          double sum = 0.0, size = 0.0;
          for (int64_t t = 0; t < tokens; ++t) {
            const double term = static_cast<double>(estimate.get(t, f)) * x.get(t, n);
            sum += term;
            size += std::fabs(term);
          }
          ASSERT_NEAR(y.get(f, n), sum, 1e-6 * (size + 0.1));
        }
      }
    }
  }
}

// The product with the identity gives the panel's entries without rounding of sums.
TYPED_TEST(Product24, the_panel_of_an_mvue_estimate_holds_the_draws_of_mvue24) {
  using T = TypeParam;
  const RandomStream stream{5, 6, 7, 8};
  std::mt19937 random(12);
  for (const int64_t tokens : {1, 6, 36, 131}) {
    Matrix<T> identity(tokens, tokens);
    for (int64_t t = 0; t < tokens; ++t) store(1.0f, identity.at(t, t));
    for (const int64_t features : {1, 17, 37, 64, 150}) {
      auto dz = random_matrix<T>(tokens, features, random, 3);
      for (int zeros = 0; zeros < 40; ++zeros) {
        const auto row = static_cast<int64_t>(random()) % tokens;
        dz.at(row, static_cast<int64_t>(random()) % features) = T{};
      }
      Matrix<T> estimate(tokens, features);
      set_instruction_set(InstructionSet::kReference);
      mvue24(dz.data(), tokens, features, dz.stride, stream, estimate.data());
      for_each_instruction_set_and_thread_count([&](const char* set) {
        SCOPED_TRACE(fmt::format("{} {} tokens {} features", set, tokens, features));
        Panel24 panel(panel_kind<T>(), features, tokens);
        fill_panel_mvue(dz.data(), dz.stride, stream, panel);
        Matrix<float> held(features, tokens);
        multiply_add(panel, identity.data(), tokens, tokens, held.data(), tokens);
        for (int64_t f = 0; f < features; ++f) {
          for (int64_t t = 0; t < tokens; ++t) {
            ASSERT_EQ(held.get(f, t), estimate.get(t, f)) << "token " << t << " feature " << f;
          }
        }
      });
    }
  }
}

// Products of infinities would be NaN, so this compares the bytes with those of the estimate.
TYPED_TEST(Product24, the_panel_of_an_mvue_estimate_holds_what_is_not_finite) {
  using T = TypeParam;
  const RandomStream stream{1, 2, 3, 4};
  std::mt19937 random(13);
  const int64_t tokens = 68, features = 75;
  auto dz = random_matrix<T>(tokens, features, random);
  const float hostile[] = {INFINITY, -INFINITY, NAN, 3e38f, -0.0f, 1e-40f};
  for (int i = 0; i < 60; ++i) {
    const auto row = static_cast<int64_t>(random()) % tokens;
    store(hostile[i % 6], dz.at(row, static_cast<int64_t>(random()) % features));
  }
  for (const InstructionSet set : instruction_sets()) {
    SCOPED_TRACE(name_of(set));
    set_instruction_set(set);
    Matrix<T> estimate(tokens, features);
    mvue24(dz.data(), tokens, features, features, stream, estimate.data());
    Panel24 drawn(panel_kind<T>(), features, tokens), filled(panel_kind<T>(), features, tokens);
    fill_panel_mvue(dz.data(), features, stream, drawn);
    fill_panel_transposed(estimate.data(), features, filled);
    EXPECT_EQ(std::memcmp(drawn.data(), filled.data(), static_cast<size_t>(drawn.bytes())), 0);
  }
}

}  // namespace
}  // namespace twofour::kernels
