#include "twofour/kernels/fp8/fp8.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

#include "twofour/base/parallel.h"
#include "twofour/kernels/fp8/fp8_table.h"

namespace twofour::kernels {
namespace {

constexpr int64_t kBlock = 1 << 14;  // entries that pay for a thread

}  // namespace

template <class T>
void round_to_float8(const T* in, int64_t count, Float8 format, float scale, T* out) {
  parallel_for(0, count, kBlock, [&](int64_t first, int64_t last) {
    table<Float8Table<T>>().round(in + first, last - first, format, scale, out + first);
  });
}

template <class T>
void scale_to_float8(const T* in, int64_t count, Float8 format, float scale, T* out) {
  parallel_for(0, count, kBlock, [&](int64_t first, int64_t last) {
    table<Float8Table<T>>().scale(in + first, last - first, format, scale, out + first);
  });
}

template <class T>
float largest_magnitude(const T* in, int64_t count) {
  std::atomic<uint32_t> largest = 0;
  parallel_for(0, count, kBlock, [&](int64_t first, int64_t last) {
    const uint32_t here = table<Float8Table<T>>().largest_bits(in + first, last - first);
    uint32_t seen = largest;
    while (seen < here && !largest.compare_exchange_weak(seen, here)) {
    }
  });
  return float_from_bits(largest);
}

float float8_scale(float amax, Float8 format) {
  if (!(amax > 0.0f && std::isfinite(amax))) return 1.0f;
  return std::min(largest(format) / amax, std::numeric_limits<float>::max());
}

#define TWOFOUR_INSTANTIATE(T)                                            \
  template void round_to_float8<T>(const T*, int64_t, Float8, float, T*); \
  template void scale_to_float8<T>(const T*, int64_t, Float8, float, T*); \
  template float largest_magnitude<T>(const T*, int64_t);
TWOFOUR_INSTANTIATE(float)
TWOFOUR_INSTANTIATE(bfloat16)
TWOFOUR_INSTANTIATE(float16)
#undef TWOFOUR_INSTANTIATE

}  // namespace twofour::kernels
