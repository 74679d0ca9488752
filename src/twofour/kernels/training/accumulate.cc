#include "twofour/kernels/training/accumulate.h"

#include "twofour/base/parallel.h"
#include "twofour/kernels/training/accumulate_table.h"

namespace twofour::kernels {

template <class T>
void accumulate(const T* in, float* out, int64_t count) {
  parallel_for(0, count, int64_t{1} << 14, [&](int64_t first, int64_t last) {
    table<AccumulateTable<T>>().accumulate(in + first, out + first, last - first);
  });
}

#define TWOFOUR_INSTANTIATE(T) template void accumulate<T>(const T*, float*, int64_t);
TWOFOUR_INSTANTIATE(float)
TWOFOUR_INSTANTIATE(bfloat16)
TWOFOUR_INSTANTIATE(float16)
#undef TWOFOUR_INSTANTIATE

}  // namespace twofour::kernels
