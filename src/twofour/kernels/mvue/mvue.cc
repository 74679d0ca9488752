#include "twofour/kernels/mvue/mvue.h"

#include <algorithm>

#include "twofour/base/parallel.h"
#include "twofour/kernels/group.h"
#include "twofour/kernels/mvue/mvue_table.h"

namespace twofour::kernels {

template <class T>
void mvue24(const T* dz, int64_t tokens, int64_t features, int64_t stride,
            const RandomStream& stream, T* out, Mvue kind) {
  const MvueTable<T>& loops = table<MvueTable<T>>();
  const auto rows = kind == Mvue::kExact ? loops.exact : loops.approximate;
  parallel_for(0, (tokens + 3) / 4, 1, [&](int64_t first, int64_t last) {
    for (int64_t g = first; g < last; ++g) {
      rows(dz + 4 * g * stride, std::min<int64_t>(4, tokens - 4 * g), features, stride, stream,
           static_cast<uint32_t>(g) * mvue24_group_stride(features), out + 4 * g * features);
    }
  });
}

#define TWOFOUR_INSTANTIATE(T) \
  template void mvue24<T>(const T*, int64_t, int64_t, int64_t, const RandomStream&, T*, Mvue);
TWOFOUR_INSTANTIATE(float)
TWOFOUR_INSTANTIATE(bfloat16)
TWOFOUR_INSTANTIATE(float16)
#undef TWOFOUR_INSTANTIATE

}  // namespace twofour::kernels
