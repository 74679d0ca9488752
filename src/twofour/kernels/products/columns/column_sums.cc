#include "twofour/kernels/products/columns/column_sums.h"

#include <algorithm>

#include "twofour/kernels/dispatch.h"

namespace twofour::kernels {

ColumnSlices::ColumnSlices(const float* matrix, int64_t stride, int64_t depth, int64_t columns)
    : depth_(depth), columns_(columns) {
  const int64_t slices = (columns + kColumnsOfSlice - 1) / kColumnsOfSlice;
  data_.resize(static_cast<size_t>(slices * kColumnsOfSlice * depth));
  float* out = data_.data();
  for (int64_t first = 0; first < columns; first += kColumnsOfSlice) {
    const int64_t width = std::min(kColumnsOfSlice, columns - first);
    for (int64_t k = 0; k < depth; ++k, out += kColumnsOfSlice) {
      std::copy_n(matrix + k * stride + first, width, out);
      std::fill(out + width, out + kColumnsOfSlice, 0.0f);
    }
  }
}

void column_sums(const ColumnSlices& m, const float* x, int64_t rows, float* out) {
  if constexpr (kIsX86) {
    if (usable().avx512) return column_sums_avx512(m, x, rows, out);
    if (usable().avx2) return column_sums_avx2(m, x, rows, out);
  }
  column_sums_reference(m, x, rows, out);
}

}  // namespace twofour::kernels
