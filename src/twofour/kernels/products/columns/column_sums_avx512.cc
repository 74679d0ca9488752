#include "twofour/kernels/products/columns/column_sums_loops.h"

namespace twofour::kernels {

void column_sums_avx512(const ColumnSlices& m, const float* x, int64_t rows, float* out) {
  sum_columns<Floats16, 8, 2>(m, x, rows, out);
}

}  // namespace twofour::kernels
