#include "twofour/kernels/pruning/column_loop.h"

#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "twofour/kernels/kernels_testing.h"

namespace twofour::kernels {
namespace {

// One block in the order of column_loop.h, [columns, rows].
struct Columns {
  int64_t columns, rows;
  std::vector<float> weight, shift, keep, difference;

  Columns(int64_t columns, int64_t rows, uint32_t seed)
      : columns(columns),
        rows(rows),
        weight(normal_floats(static_cast<size_t>(columns * rows), seed)),
        shift(normal_floats(weight.size(), seed + 1)),
        keep(uniform_floats(weight.size(), seed + 2)),
        difference(weight.size()) {
    for (float& value : shift) value *= 0.3f;
    for (float& value : keep) value = value < 0.5f ? 0.0f : 1.0f;
  }
  double at(const std::vector<float>& matrix, int64_t column, int64_t row) const {
    return matrix[static_cast<size_t>(column * rows + row)];
  }
  void prune(const ColumnBlock& block, int kept) {
    prune_columns(block, kept, rows, weight.data(), shift.data(), keep.data(), difference.data());
  }
};

// An upper triangular matrix in rows `stride` apart; the rest must not be read.
std::vector<float> upper_triangle(int64_t columns, int64_t stride, uint32_t seed) {
  auto r = normal_floats(static_cast<size_t>(columns * stride), seed);
  for (int64_t i = 0; i < columns; ++i) {
    for (int64_t j = i; j < columns; ++j) r[i * stride + j] *= 0.2f;
    r[i * stride + i] = 0.7f + std::abs(r[i * stride + i]);
  }
  return r;
}

using Doubles = std::vector<std::vector<double>>;

Doubles inverse_of(const std::vector<float>& r, int64_t columns, int64_t stride) {
  Doubles u(columns, std::vector<double>(columns));
  for (int64_t j = 0; j < columns; ++j) {
    u[j][j] = 1.0 / r[j * stride + j];
    for (int64_t i = j - 1; i >= 0; --i) {
      double sum = 0;
      for (int64_t k = i + 1; k <= j; ++k) sum += r[i * stride + k] * u[k][j];
      u[i][j] = -sum / r[i * stride + i];
    }
  }
  return u;
}

// Algorithm 1 on one row, column by column with the whole inverse, in double. Scores that differ
// by less than rounding may go either way: those of `decided` are taken.
std::vector<double> pruned_row(const Columns& in, int64_t row, const Doubles& u, int group,
                               int kept, const Columns& decided) {
  const int64_t columns = in.columns;
  std::vector<double> w(columns), keep(columns);
  for (int64_t j = 0; j < columns; ++j) {
    w[j] = in.at(in.weight, j, row);
    for (int64_t i = 0; i <= j; ++i) w[j] += in.at(in.shift, i, row) * u[i][j];
    keep[j] = decided.at(decided.keep, j, row);
  }
  for (int64_t j = 0; j < columns; ++j) {
    if (kept > 0 && j % group == 0) {
      double least_kept = 1e30, most_removed = 0;
      int count = 0;
      for (int64_t k = j; k < j + group; ++k) {
        const double score = std::abs(w[k] / u[k][k]);
        count += keep[k] > 0;
        keep[k] > 0 ? least_kept = std::min(least_kept, score)
                    : most_removed = std::max(most_removed, score);
      }
      EXPECT_EQ(count, kept);
      EXPECT_GT(least_kept, most_removed * (1 - 1e-4)) << "column " << j;
    }
    const double error = keep[j] > 0 ? 0 : w[j] / u[j][j];
    for (int64_t k = j; k < columns; ++k) w[k] -= error * u[j][k];
  }
  return w;
}

struct BlockShape {
  int64_t columns;
  int group, kept;  // kept 0: a given mask
};

constexpr BlockShape kBlockShapes[] = {{4, 4, 2},   {128, 4, 2}, {40, 8, 4}, {42, 7, 3},
                                       {60, 6, 5},  {45, 5, 1},  {33, 3, 2}, {30, 2, 1},
                                       {100, 8, 0}, {7, 8, 0},   {61, 4, 0}, {1, 8, 0}};

class ColumnLoop : public KernelTest {};

TEST_F(ColumnLoop, is_the_published_loop_with_the_whole_inverse) {
  uint32_t seed = 70;
  for (const auto& [columns, group, kept] : kBlockShapes) {
    seed += 10;
    const int64_t stride = columns + 3;
    const auto r = upper_triangle(columns, stride, seed);
    const Doubles u = inverse_of(r, columns, stride);
    const Columns in(columns, 32, seed + 1);
    Columns out = in;
    out.prune(ColumnBlock(r.data(), stride, columns, group), kept);
    for (int64_t row = 0; row < in.rows; ++row) {
      const auto expected = pruned_row(in, row, u, group, kept, out);
      for (int64_t j = 0; j < columns; ++j) {
        const double value = out.at(out.weight, j, row);
        ASSERT_NEAR(value, out.at(out.keep, j, row) > 0 ? expected[j] : 0, 1e-3)
            << "seed " << seed << ", " << kept << ":" << group << ", column " << j;
        ASSERT_NEAR(out.at(out.difference, j, row), in.at(in.weight, j, row) - value, 1e-5);
      }
    }
  }
}

TEST_F(ColumnLoop, has_the_same_bits_on_every_instruction_set) {
  for (const BlockShape& shape : kBlockShapes) {
    const int64_t columns = shape.columns;
    const int group = shape.group, kept = shape.kept;
    const auto r = upper_triangle(columns, columns, 71);
    const ColumnBlock block(r.data(), columns, columns, group);
    const Columns in(columns, 48, 72);
    Columns expected = in;
    set_instruction_set(InstructionSet::kReference);
    expected.prune(block, kept);
    for_each_instruction_set_and_thread_count([&](const char* name) {
      Columns out = in;
      out.prune(block, kept);
      ASSERT_EQ(bits_of_all(out.weight), bits_of_all(expected.weight)) << name << " " << group;
      ASSERT_EQ(bits_of_all(out.keep), bits_of_all(expected.keep)) << name << " " << group;
      ASSERT_EQ(bits_of_all(out.difference), bits_of_all(expected.difference)) << name;
    });
  }
}

TEST_F(ColumnLoop, keeps_the_later_of_equal_scores) {
  const std::vector<float> r = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1};
  Columns out(4, 16, 1);
  std::fill(out.weight.begin(), out.weight.end(), -2.0f);
  std::fill(out.shift.begin(), out.shift.end(), 0.0f);
  out.prune(ColumnBlock(r.data(), 4, 4, 4), 1);
  for (int64_t j = 0; j < 4; ++j) EXPECT_EQ(out.at(out.keep, j, 5), j == 3);
}

TEST_F(ColumnLoop, that_keeps_everything_updates_the_weights) {
  const auto r = upper_triangle(50, 50, 73);
  const Doubles u = inverse_of(r, 50, 50);
  const Columns in(50, 16, 74);
  Columns out = in;
  std::fill(out.keep.begin(), out.keep.end(), 1.0f);
  out.prune(ColumnBlock(r.data(), 50, 50, 8), 0);
  for (int64_t row = 0; row < 16; ++row) {
    for (int64_t j = 0; j < 50; ++j) {
      double expected = in.at(in.weight, j, row);
      for (int64_t i = 0; i <= j; ++i) expected += in.at(in.shift, i, row) * u[i][j];
      ASSERT_NEAR(out.at(out.weight, j, row), expected, 1e-3);
    }
  }
}

}  // namespace
}  // namespace twofour::kernels
