#include "twofour/kernels/products/columns/column_sums_loops.h"

namespace twofour::kernels {

void column_sums_reference(const ColumnSlices& m, const float* x, int64_t rows, float* out) {
  sum_columns<float, 4, 8>(m, x, rows, out);
}

}  // namespace twofour::kernels
