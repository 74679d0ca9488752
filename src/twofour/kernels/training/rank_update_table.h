// Sums of scaled rows, as loops that the compiler vectorises.
#pragma once

#include <cstdint>

#include "twofour/kernels/rows/table.h"

namespace twofour::kernels {

struct RankUpdateTable {
  /// y += scales[0] rows[0] + scales[1] rows[1] + … in this order, for `count` rows of `columns`
  /// columns from `column` on.
  void (*add_scaled_rows)(const float* scales, const float* const* rows, int64_t count,
                          int64_t column, int64_t columns, float* y);
};

namespace {

inline void add_scaled_rows(const float* scales, const float* const* rows, int64_t count,
                            int64_t column, int64_t columns, float* y) {
  float* __restrict out = y + column;
  int64_t i = 0;
  for (; i + 4 <= count; i += 4) {  // y is read from the first-level cache once per four
    const float a = scales[i], b = scales[i + 1], c = scales[i + 2], d = scales[i + 3];
    const float* const p = rows[i] + column;
    const float* const q = rows[i + 1] + column;
    const float* const r = rows[i + 2] + column;
    const float* const s = rows[i + 3] + column;
    for (int64_t j = 0; j < columns; ++j) {
      out[j] = (((out[j] + a * p[j]) + b * q[j]) + c * r[j]) + d * s[j];
    }
  }
  for (; i < count; ++i) {
    const float scale = scales[i];
    const float* const row = rows[i] + column;
    for (int64_t j = 0; j < columns; ++j) out[j] += scale * row[j];
  }
}

template <class F>
constexpr RankUpdateTable kTable<RankUpdateTable, F> = {.add_scaled_rows = add_scaled_rows};

}  // namespace
}  // namespace twofour::kernels
