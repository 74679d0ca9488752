#include "twofour/kernels/training/rank_update.h"

#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "twofour/kernels/kernels_testing.h"

namespace twofour::kernels {
namespace {

template <class T>
class RankUpdate : public ::testing::Test {};
using Types = ::testing::Types<float, bfloat16, float16>;
TYPED_TEST_SUITE(RankUpdate, Types);

struct UpdateShape {
  int64_t tokens, rows, width;
};

template <class T>
std::vector<T> typed(const std::vector<float>& values) {
  std::vector<T> out(values.size());
  for (size_t i = 0; i < values.size(); ++i) store(values[i], out[i]);
  return out;
}

TYPED_TEST(RankUpdate, adds_token_after_token_the_same_for_every_instruction_set_and_thread_count) {
  for (const UpdateShape& shape :
       {UpdateShape{1, 1, 1}, UpdateShape{3, 17, 5}, UpdateShape{4, 16, 64},
        UpdateShape{7, 40, 1027}, UpdateShape{64, 33, 130}, UpdateShape{70, 100, 2100}}) {
    const int64_t tokens = shape.tokens, rows = shape.rows, width = shape.width;
    auto some = normal_floats(static_cast<size_t>(tokens * rows), 41);
    for (size_t i = 0; i < some.size(); i += 1 + i % 3) some[i] = 0.0f;
    const auto e = typed<TypeParam>(some);
    const auto x = typed<TypeParam>(normal_floats(static_cast<size_t>(tokens * width), 42));
    const auto before = normal_floats(static_cast<size_t>(rows * width), 43);
    auto expected = before;
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t j = 0; j < width; ++j) {
        for (int64_t t = 0; t < tokens; ++t) {
          const float product = to_float(e[t * rows + r]) * to_float(x[t * width + j]);
          expected[r * width + j] += product;
        }
      }
    }
    for_each_instruction_set_and_thread_count([&](const char* name) {
      auto y = before;
      rank_update(e.data(), x.data(), tokens, rows, width, y.data());
      ASSERT_EQ(bits_of_all(y), bits_of_all(expected)) << name << " " << tokens;
    });
  }
}

TYPED_TEST(RankUpdate, leaves_out_what_a_zero_would_add) {
  std::vector<TypeParam> e(2), x(6);
  store(0.0f, e[0]);
  store(2.0f, e[1]);
  for (int i = 0; i < 3; ++i) store(std::numeric_limits<float>::infinity(), x[i]);
  for (int i = 3; i < 6; ++i) store(1.5f, x[i]);
  std::vector<float> y(3, 1.0f);
  rank_update(e.data(), x.data(), 2, 1, 3, y.data());
  EXPECT_EQ(y, std::vector<float>(3, 4.0f));
}

TYPED_TEST(RankUpdate, of_nothing_changes_nothing) {
  std::vector<float> y(4, 1.0f);
  rank_update<TypeParam>(nullptr, nullptr, 0, 2, 2, y.data());
  rank_update<TypeParam>(nullptr, nullptr, 3, 0, 0, y.data());
  EXPECT_EQ(y, std::vector<float>(4, 1.0f));
}

}  // namespace
}  // namespace twofour::kernels
