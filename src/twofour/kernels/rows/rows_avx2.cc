#include "twofour/kernels/rows/rows_loops.h"

namespace twofour::kernels {

template <class T>
const RowLoops<T>& avx2_loops() {
  return kLoops<T, Floats8>;
}

template const RowLoops<float>& avx2_loops();
template const RowLoops<bfloat16>& avx2_loops();
template const RowLoops<float16>& avx2_loops();

}  // namespace twofour::kernels
