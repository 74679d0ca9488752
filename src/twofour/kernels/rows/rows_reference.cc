#include "twofour/kernels/rows/rows_loops.h"

namespace twofour::kernels {

template <class T>
const RowLoops<T>& reference_loops() {
  return kLoops<T, float>;
}

template const RowLoops<float>& reference_loops();
template const RowLoops<bfloat16>& reference_loops();
template const RowLoops<float16>& reference_loops();

}  // namespace twofour::kernels
