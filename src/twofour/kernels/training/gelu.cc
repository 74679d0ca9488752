#include "twofour/kernels/training/gelu.h"

#include "twofour/base/parallel.h"
#include "twofour/kernels/training/gelu_table.h"

namespace twofour::kernels {
namespace {

constexpr int64_t kGrain = int64_t{1} << 13;  // entries

}  // namespace

template <class T>
void gelu(const T* z, int64_t count, T* out) {
  parallel_for(0, count, kGrain, [&](int64_t first, int64_t last) {
    table<GeluTable<T>>().gelu(z + first, last - first, out + first);
  });
}

template <class T>
void gelu_gradient(const T* z, const T* dy, int64_t count, T* dz) {
  parallel_for(0, count, kGrain, [&](int64_t first, int64_t last) {
    table<GeluTable<T>>().gradient(z + first, dy + first, last - first, dz + first);
  });
}

#define TWOFOUR_INSTANTIATE(T)                  \
  template void gelu<T>(const T*, int64_t, T*); \
  template void gelu_gradient<T>(const T*, const T*, int64_t, T*);
TWOFOUR_INSTANTIATE(float)
TWOFOUR_INSTANTIATE(bfloat16)
TWOFOUR_INSTANTIATE(float16)
#undef TWOFOUR_INSTANTIATE

}  // namespace twofour::kernels
