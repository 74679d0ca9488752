#include "twofour/kernels/pruning/column_loop.h"

#include <algorithm>
#include <cstring>

#include "twofour/kernels/pruning/column_loop_table.h"

namespace twofour::kernels {
namespace {

// The inverse of an upper triangular group of `width` columns, in double.
void invert_group(const float* r, int64_t stride, int width, float* inverse) {
  double u[kMostColumnsOfGroup][kMostColumnsOfGroup] = {};
  for (int column = 0; column < width; ++column) {
    u[column][column] = 1.0 / r[column * stride + column];
    for (int row = column - 1; row >= 0; --row) {
      double sum = 0;
      for (int k = row + 1; k <= column; ++k) sum += double{r[row * stride + k]} * u[k][column];
      u[row][column] = -sum / r[row * stride + row];
    }
  }
  for (int row = 0; row < width; ++row) {
    for (int column = 0; column < width; ++column) {
      inverse[row * kMostColumnsOfGroup + column] = static_cast<float>(u[row][column]);
    }
  }
}

}  // namespace

ColumnBlock::ColumnBlock(const float* r, int64_t stride, int64_t columns, int group)
    : columns_(columns), group_(group) {
  r_.resize(static_cast<size_t>(columns * columns));
  inverse_.resize(static_cast<size_t>(columns * kMostColumnsOfGroup));
  for (int64_t row = 0; row < columns; ++row) {
    std::memcpy(r_.data() + row * columns, r + row * stride,
                static_cast<size_t>(columns) * sizeof(float));
  }
  for (int64_t first = 0; first < columns; first += group) {
    const int width = static_cast<int>(std::min<int64_t>(group, columns - first));
    invert_group(r + first * stride + first, stride, width,
                 inverse_.data() + first * kMostColumnsOfGroup);
  }
}

void prune_columns(const ColumnBlock& block, int kept, int64_t rows, float* weight, float* shift,
                   float* keep, float* difference) {
  for (int64_t first = 0; first < block.columns(); first += block.group()) {
    const int width = static_cast<int>(std::min<int64_t>(block.group(), block.columns() - first));
    table<ColumnLoopTable>().prune_group(block, first, width, kept, rows, weight, shift, keep,
                                         difference);
  }
}

}  // namespace twofour::kernels
