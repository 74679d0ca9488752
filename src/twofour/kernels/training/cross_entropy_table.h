// The cross-entropy of a row of logits, as loops that the compiler vectorises.
#pragma once

#include <cmath>
#include <cstdint>

#include "twofour/kernels/rows/exponential.h"
#include "twofour/kernels/rows/table.h"

namespace twofour::kernels {

template <class T>
struct CrossEntropyTable {
  /// See cross_entropy.h; a null `scale` leaves the row. `scratch` holds `columns` floats.
  float (*row)(T* row, int64_t target, int64_t columns, const float* scale, float* scratch);
};

namespace {

template <class T>
float cross_entropy_row(T* row, int64_t target, int64_t columns, const float* scale,
                        float* scratch) {
  const float top = row_maximum(row, columns);
  const float sum = exponentials(row, columns, top, scratch);
  const float nll = std::log(sum) + top - to_float(row[target]);
  if (scale) {
    const float factor = *scale / sum;
    scratch[target] -= sum;
    for (int64_t j = 0; j < columns; ++j) store(scratch[j] * factor, row[j]);
  }
  return nll;
}

template <class T, class F>
constexpr CrossEntropyTable<T> kTable<CrossEntropyTable<T>, F> = {.row = cross_entropy_row<T>};

}  // namespace
}  // namespace twofour::kernels
