// The loops of column_sums.h. Lanes of F are columns of x.
#pragma once

#include <algorithm>
#include <cstdint>

#include "twofour/kernels/products/columns/column_sums.h"
#include "twofour/kernels/simd/lanes_memory.h"

namespace twofour::kernels {
namespace {

// Rows of m and x at a time: with 64 columns of x, 32 KB.
constexpr int64_t kDepthOfBlock = 128;

// Sums of kColumns columns of a slice and kVectors vectors of x, over one block of the depth.
template <class F, int kColumns, int kVectors>
void add_tile(const float* slice, const float* x, int64_t depth, int64_t rows, bool is_first,
              int64_t columns, float* out) {
  constexpr int64_t kLanes = sizeof(F) / sizeof(float);
  F sum[kColumns][kVectors] = {};
  // Unrolled, the sums stay in registers.
#pragma GCC unroll 8
  for (int c = 0; c < kColumns; ++c) {
    if (is_first || c >= columns) continue;
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) sum[c][v] = load_lanes<F>(out + c * rows + v * kLanes);
  }
  for (int64_t k = 0; k < depth; ++k) {
    F lanes[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) lanes[v] = load_lanes<F>(x + k * rows + v * kLanes);
#pragma GCC unroll 8
    for (int c = 0; c < kColumns; ++c) {
      const float scale = slice[k * kColumnsOfSlice + c];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sum[c][v] += lanes[v] * scale;
    }
  }
#pragma GCC unroll 8
  for (int c = 0; c < kColumns; ++c) {
    if (c >= columns) continue;
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) store_lanes(sum[c][v], out + c * rows + v * kLanes);
  }
}

template <class F, int kColumns, int kVectors>
void sum_columns(const ColumnSlices& m, const float* x, int64_t rows, float* out) {
  constexpr int64_t kWidth = kVectors * static_cast<int64_t>(sizeof(F) / sizeof(float));
  if (m.depth() == 0) std::fill_n(out, m.columns() * rows, 0.0f);
  for (int64_t begin = 0; begin < m.depth(); begin += kDepthOfBlock) {
    const int64_t depth = std::min(kDepthOfBlock, m.depth() - begin);
    for (int64_t column = 0; column < m.columns(); column += kColumns) {
      const float* const slice =
          m.slice(column / kColumnsOfSlice) + begin * kColumnsOfSlice + column % kColumnsOfSlice;
      for (int64_t row = 0; row < rows; row += kWidth) {
        add_tile<F, kColumns, kVectors>(slice, x + begin * rows + row, depth, rows, begin == 0,
                                        m.columns() - column, out + column * rows + row);
      }
    }
  }
}

}  // namespace
}  // namespace twofour::kernels
