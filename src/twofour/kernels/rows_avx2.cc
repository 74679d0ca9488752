#include "twofour/kernels/rows_loops.h"

namespace twofour::kernels {

template <>
const RowLoops<float>& avx2_loops() {
  return kLoops<float>;
}

template <>
const RowLoops<bfloat16>& avx2_loops() {
  return kLoops<bfloat16>;
}

}  // namespace twofour::kernels
