#include "twofour/kernels/pruning/swap_search.h"

#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "twofour/kernels/kernels_testing.h"

namespace twofour::kernels {
namespace {

// One row with its Gram matrix, and the search's state.
struct SwapCase {
  SwapOrder order;
  std::vector<float> weight, gram, ordered, c;
  std::vector<uint8_t> mask;

  SwapCase(int64_t columns, int group, int kept, uint32_t seed) : order(columns, group) {
    weight = normal_floats(static_cast<size_t>(columns), seed);
    const int64_t tokens = 2 * columns;
    auto x = normal_floats(static_cast<size_t>(tokens * columns), seed + 1);
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t j = 0; j < columns; ++j) x[t * columns + j] += x[t * columns];
    }
    gram.resize(static_cast<size_t>(columns * columns));
    ordered.resize(static_cast<size_t>(columns * order.size()));
    c.resize(static_cast<size_t>(order.size()));
    for (int64_t j = 0; j < columns; ++j) mask.push_back(j % group < kept);
    for (int64_t i = 0; i < columns; ++i) {
      for (int64_t j = 0; j < columns; ++j) {
        double sum = 0;
        for (int64_t t = 0; t < tokens; ++t) sum += double{x[t * columns + i]} * x[t * columns + j];
        gram[i * columns + j] = ordered[i * order.size() + order.place(j)] =
            static_cast<float>(sum);
      }
    }
    for (int64_t j = 0; j < columns; ++j) c[order.place(j)] = static_cast<float>(sum_of(j));
  }

  double removed(int64_t j) const { return mask[j] ? 0.0 : weight[j]; }
  double sum_of(int64_t row) const {
    double sum = 0;
    for (int64_t j = 0; j < order.columns; ++j) sum += gram[row * order.columns + j] * removed(j);
    return sum;
  }
  double error() const {
    double sum = 0;
    for (int64_t j = 0; j < order.columns; ++j) sum += removed(j) * sum_of(j);
    return sum;
  }
  int64_t swap(int64_t most) {
    return swap_entries(order, weight.data(), ordered.data(), most, c.data(), mask.data());
  }
};

struct SwapShape {
  int64_t columns;
  int group, kept;
};

constexpr SwapShape kSwapShapes[] = {{4, 4, 2},  {64, 4, 2}, {136, 4, 1}, {160, 8, 4}, {70, 7, 3},
                                     {66, 6, 5}, {45, 5, 2}, {51, 3, 1},  {62, 2, 1},  {132, 4, 3}};

class SwapSearch : public KernelTest {};

TEST_F(SwapSearch, takes_the_best_swap_and_each_lowers_the_error) {
  for (const auto& [columns, group, kept] : kSwapShapes) {
    SwapCase row(columns, group, kept, 80);
    for (double before = row.error();; before = row.error()) {
      double best = 0;
      for (int64_t i = 0; i < columns; ++i) {
        for (int64_t j = i / group * group; j < i / group * group + group; ++j) {
          if (!row.mask[i] || row.mask[j]) continue;
          std::swap(row.mask[i], row.mask[j]);
          best = std::min(best, row.error() - before);
          std::swap(row.mask[i], row.mask[j]);
        }
      }
      const bool has_swapped = row.swap(1) == 1;
      ASSERT_EQ(has_swapped, best < -1e-5 * before) << columns << ", " << group << ": " << best;
      if (!has_swapped) break;
      ASSERT_NEAR(row.error() - before, best, 1e-5 * before) << columns << ", " << group;
    }
    for (int64_t j = 0; j < columns; ++j) {
      ASSERT_NEAR(row.c[row.order.place(j)], row.sum_of(j), 1e-3 * std::abs(row.gram[0]));
    }
    for (int64_t j = 0; j < columns; j += group) {
      ASSERT_EQ(std::count(row.mask.begin() + j, row.mask.begin() + j + group, 1), kept);
    }
  }
}

TEST_F(SwapSearch, has_the_same_bits_on_every_instruction_set) {
  for (const SwapShape& shape : kSwapShapes) {
    const int64_t columns = shape.columns;
    const int group = shape.group;
    const SwapCase before(columns, group, shape.kept, 81);
    SwapCase expected = before;
    set_instruction_set(InstructionSet::kReference);
    const int64_t swaps = expected.swap(0);
    for_each_instruction_set_and_thread_count([&](const char* name) {
      SwapCase row = before;
      ASSERT_EQ(row.swap(0), swaps) << name << " " << columns << " " << group;
      ASSERT_EQ(row.mask, expected.mask) << name << " " << columns << " " << group;
      ASSERT_EQ(bits_of_all(row.c), bits_of_all(expected.c)) << name << " " << columns;
    });
  }
}

TEST_F(SwapSearch, ends_on_zeros_and_after_the_most_swaps) {
  SwapCase zeros(32, 4, 2, 82);
  std::fill(zeros.weight.begin(), zeros.weight.end(), 0.0f);
  std::fill(zeros.c.begin(), zeros.c.end(), 0.0f);
  EXPECT_EQ(zeros.swap(0), 0);
  SwapCase row(128, 4, 2, 83);
  SwapCase again = row;
  const int64_t all = row.swap(0);
  ASSERT_GT(all, 5);
  EXPECT_EQ(again.swap(3), 3);
  EXPECT_EQ(again.swap(0), all - 3);
  EXPECT_EQ(again.mask, row.mask);
}

}  // namespace
}  // namespace twofour::kernels
