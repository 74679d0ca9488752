#include "twofour/kernels/decode/attend.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "twofour/kernels/kernels_testing.h"
#include "twofour/kernels/products/products_testing.h"

namespace twofour::kernels {
namespace {

template <class T>
class Attend : public KernelTest {};

using Types = ::testing::Types<float, bfloat16, float16>;
TYPED_TEST_SUITE(Attend, Types);

// Sequences of different lengths; their caches hold NaN after their tokens.
template <class T>
struct Case {
  AttendShape shape;
  std::vector<int64_t> tokens;
  std::vector<T> queries, keys, values, out;

  Case(AttendShape its_shape, std::vector<int64_t> its_tokens)
      : shape(its_shape), tokens(std::move(its_tokens)) {
    const size_t rows = tokens.size();
    queries = normal(rows * static_cast<size_t>(shape.heads * shape.width), 1);
    const size_t cache = static_cast<size_t>(shape.key_value_heads * shape.capacity * shape.width);
    keys = normal(rows * cache, 2);
    values = normal(rows * cache, 3);
    out.resize(queries.size());
    for (size_t row = 0; row < rows; ++row) {
      for (int64_t g = 0; g < shape.key_value_heads; ++g) {
        for (int64_t t = tokens[row]; t < shape.capacity; ++t) {
          for (int64_t i = 0; i < shape.width; ++i) {
            store(std::numeric_limits<float>::quiet_NaN(), keys[at(row, g, t, i)]);
            store(std::numeric_limits<float>::quiet_NaN(), values[at(row, g, t, i)]);
          }
        }
      }
    }
  }

  static std::vector<T> normal(size_t count, uint32_t seed) {
    const auto values = normal_floats(count, seed);
    std::vector<T> out(count);
    for (size_t i = 0; i < count; ++i) store(values[i], out[i]);
    return out;
  }
  size_t at(size_t row, int64_t g, int64_t t, int64_t i) const {
    const auto r = static_cast<int64_t>(row);
    return static_cast<size_t>(
        ((r * shape.key_value_heads + g) * shape.capacity + t) * shape.width + i);
  }

  void run() {
    std::vector<AttendRow<T>> rows;
    for (size_t row = 0; row < tokens.size(); ++row) {
      const size_t head = row * static_cast<size_t>(shape.heads * shape.width);
      rows.push_back({queries.data() + head, keys.data() + at(row, 0, 0, 0),
                      values.data() + at(row, 0, 0, 0), tokens[row], out.data() + head});
    }
    attend<T>(rows, shape);
  }

  void expect_attention() const {
    const int64_t shared = shape.heads / shape.key_value_heads;
    for (size_t row = 0; row < tokens.size(); ++row) {
      for (int64_t h = 0; h < shape.heads; ++h) {
        const size_t head = row * static_cast<size_t>(shape.heads * shape.width) +
                            static_cast<size_t>(h * shape.width);
        std::vector<double> terms;
        for (int64_t t = 0; t < tokens[row]; ++t) {
          double score = 0;
          for (int64_t i = 0; i < shape.width; ++i) {
            score += to_float(queries[head + static_cast<size_t>(i)]) *
                     to_float(keys[at(row, h / shared, t, i)]);
          }
          terms.push_back(score / std::sqrt(static_cast<double>(shape.width)));
        }
        const double top = *std::max_element(terms.begin(), terms.end());
        double total = 0;
        for (double& term : terms) total += term = std::exp(term - top);
        for (int64_t i = 0; i < shape.width; ++i) {
          double sum = 0, size = 0;
          for (int64_t t = 0; t < tokens[row]; ++t) {
            const double part =
                terms[static_cast<size_t>(t)] / total * to_float(values[at(row, h / shared, t, i)]);
            sum += part;
            size += std::fabs(part);
          }
          ASSERT_NEAR(to_float(out[head + static_cast<size_t>(i)]), sum,
                      4 * kRounding<T> * (size + 0.01))
              << "row " << row << " head " << h << " entry " << i;
        }
      }
    }
  }
};

const std::vector<AttendShape> kShapes = {{1, 1, 1, 3},    {2, 1, 6, 5},    {8, 4, 8, 70},
                                          {4, 4, 16, 200}, {6, 2, 20, 129}, {12, 12, 64, 33},
                                          {8, 1, 72, 65}};

TYPED_TEST(Attend, is_the_softmax_of_the_scores_times_the_values) {
  for (const AttendShape& shape : kShapes) {
    SCOPED_TRACE(
        fmt::format("{} heads {} width {}", shape.heads, shape.key_value_heads, shape.width));
    Case<TypeParam> one(shape, {shape.capacity, 1, (shape.capacity + 1) / 2});
    one.run();
    one.expect_attention();
  }
}

// Enough keys for two threads.
TYPED_TEST(Attend, has_the_same_bits_on_every_instruction_set_and_for_any_thread_count) {
  std::vector<AttendShape> shapes = kShapes;
  shapes.push_back({4, 4, 64, 900});
  for (const AttendShape& shape : shapes) {
    Case<TypeParam> one(shape, {shape.capacity - 1, shape.capacity});
    std::vector<uint32_t> first;
    for_each_instruction_set_and_thread_count([&](const char* name) {
      one.run();
      const auto bits = bits_of_all(one.out);
      if (first.empty()) first = bits;
      EXPECT_EQ(bits, first) << name;
    });
  }
}

}  // namespace
}  // namespace twofour::kernels
