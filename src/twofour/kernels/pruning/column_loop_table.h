// The loops of column_loop.h. Lanes of F are rows of the weight.
#pragma once

#include <cstdint>

#include "twofour/kernels/pruning/column_loop.h"
#include "twofour/kernels/rows/table.h"
#include "twofour/kernels/simd/lanes_memory.h"

namespace twofour::kernels {

struct ColumnLoopTable {
  /// prune_columns of one group, from column `first` on, of `width` columns, and what it adds to
  /// `shift` of the block's later columns.
  void (*prune_group)(const ColumnBlock& block, int64_t first, int width, int kept, int64_t rows,
                      float* weight, float* shift, float* keep, float* difference);
};

namespace {

// One group of columns of as many rows as F has lanes; matrices begin at the first of these rows.
template <class F, int kWidth>
struct GroupOfRows {
  const ColumnBlock& block;
  int64_t first, rows;  // `rows` is the distance between columns
  F weight[kWidth], keep[kWidth], difference[kWidth];

  float r(int64_t row, int64_t column) const { return block.r()[row * block.columns() + column]; }
  float u(int row, int column) const {
    return block.inverse()[(first + row) * kMostColumnsOfGroup + column];
  }

  // weight += shift U, the updates of all columns before the group.
  void update(const float* shift) {
    F before[kWidth];
    for (int k = 0; k < kWidth; ++k) before[k] = load_lanes<F>(shift + (first + k) * rows);
    for (int k = 0; k < kWidth; ++k) {
      for (int i = 0; i <= k; ++i) weight[k] += before[i] * u(i, k);
    }
  }

  // keep = 1 for the `kept` largest |w_j| / U_jj.
  void choose(int kept) {
    F score[kWidth];
    const F zero = {}, one = zero + 1.0f, limit = zero + static_cast<float>(kept);
    for (int k = 0; k < kWidth; ++k) {
      const F scaled = weight[k] * r(first + k, first + k);
      score[k] = float_from_bits(bits_of(scaled) & 0x7fffffffu);
    }
    for (int k = 0; k < kWidth; ++k) {
      F larger = zero;
      for (int i = 0; i < kWidth; ++i) {
        if (i < k) larger += score[i] > score[k] ? one : zero;
        if (i > k) larger += score[i] >= score[k] ? one : zero;
      }
      keep[k] = larger < limit ? one : zero;
    }
  }

  // Removes column after column, and moves each error to the later columns of the group.
  void remove(const F (&dense)[kWidth]) {
    const F zero = {};
    for (int k = 0; k < kWidth; ++k) {
      const F pruned = keep[k] > zero ? weight[k] : zero;
      const F error = (weight[k] - pruned) * r(first + k, first + k);
      for (int l = k + 1; l < kWidth; ++l) weight[l] -= error * u(k, l);
      weight[k] = pruned;
      difference[k] = dense[k] - pruned;
    }
  }

  // shift += D R for the later columns of the block.
  void add_to_later(float* shift) const {
    for (int64_t column = first + kWidth; column < block.columns(); ++column) {
      F sum = load_lanes<F>(shift + column * rows);
      for (int k = 0; k < kWidth; ++k) sum += difference[k] * r(first + k, column);
      store_lanes(sum, shift + column * rows);
    }
  }
};

template <class F, int kWidth>
void prune_group_of_width(const ColumnBlock& block, int64_t first, int kept, int64_t rows,
                          float* weight, float* shift, float* keep, float* difference) {
  constexpr int64_t kLanes = sizeof(F) / sizeof(float);
  for (int64_t lane = 0; lane < rows; lane += kLanes) {
    GroupOfRows<F, kWidth> group = {block, first, rows, {}, {}, {}};
    F dense[kWidth];
    const int64_t begin = first * rows + lane;
    for (int k = 0; k < kWidth; ++k) {
      dense[k] = group.weight[k] = load_lanes<F>(weight + begin + k * rows);
      group.keep[k] = load_lanes<F>(keep + begin + k * rows);
    }
    group.update(shift + lane);
    if (kept > 0) group.choose(kept);
    group.remove(dense);
    for (int k = 0; k < kWidth; ++k) {
      store_lanes(group.weight[k], weight + begin + k * rows);
      store_lanes(group.keep[k], keep + begin + k * rows);
      store_lanes(group.difference[k], difference + begin + k * rows);
    }
    group.add_to_later(shift + lane);
  }
}

template <class F>
void prune_group(const ColumnBlock& block, int64_t first, int width, int kept, int64_t rows,
                 float* weight, float* shift, float* keep, float* difference) {
  const auto with = [&](auto* prune) {
    prune(block, first, kept, rows, weight, shift, keep, difference);
  };
  switch (width) {
    case 1:
      return with(prune_group_of_width<F, 1>);
    case 2:
      return with(prune_group_of_width<F, 2>);
    case 3:
      return with(prune_group_of_width<F, 3>);
    case 4:
      return with(prune_group_of_width<F, 4>);
    case 5:
      return with(prune_group_of_width<F, 5>);
    case 6:
      return with(prune_group_of_width<F, 6>);
    case 7:
      return with(prune_group_of_width<F, 7>);
    default:
      return with(prune_group_of_width<F, 8>);
  }
}

template <class F>
constexpr ColumnLoopTable kTable<ColumnLoopTable, F> = {.prune_group = prune_group<F>};

}  // namespace
}  // namespace twofour::kernels
