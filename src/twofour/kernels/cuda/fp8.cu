// The 8-bit floats on CUDA: one thread per entry.
#include "twofour/kernels/cuda/cuda_launch.cuh"
#include "twofour/kernels/fp8/fp8_value.h"

namespace twofour::kernels::cuda {
namespace {

template <Float8 kFormat, class T>
__global__ void rounded_entries(int64_t count, const T* in, float scale, T* out) {
  const Indices own = indices();
  for (int64_t i = own.first; i < count; i += own.step) {
    store(rounded_to_float8<kFormat>(to_float(in[i]), scale), out[i]);
  }
}

// The bits of nonnegative floats have the order of their values, with NaN above all.
template <class T>
__global__ void largest_of_entries(int64_t count, const T* in, float* amax) {
  const Indices own = indices();
  uint32_t largest = 0;
  for (int64_t i = own.first; i < count; i += own.step) {
    const uint32_t size = bits_of(to_float(in[i])) & 0x7fffffffu;
    if (largest < size) largest = size;
  }
  if (largest != 0) atomicMax(reinterpret_cast<unsigned*>(amax), largest);
}

}  // namespace

template <class T>
void round_to_float8(const T* in, int64_t count, Float8 format, float scale, T* out,
                     Stream stream) {
  const auto kernel = format == Float8::kE4M3 ? rounded_entries<Float8::kE4M3, T>
                                              : rounded_entries<Float8::kE5M2, T>;
  launch(kernel, count, stream, in, scale, out);
}

template <class T>
void largest_magnitude(const T* in, int64_t count, float* amax, Stream stream) {
  launch(largest_of_entries<T>, count, stream, in, amax);
}

#define TWOFOUR_INSTANTIATE(T)                                                    \
  template void round_to_float8<T>(const T*, int64_t, Float8, float, T*, Stream); \
  template void largest_magnitude<T>(const T*, int64_t, float*, Stream);
TWOFOUR_INSTANTIATE(float)
TWOFOUR_INSTANTIATE(bfloat16)
TWOFOUR_INSTANTIATE(float16)
#undef TWOFOUR_INSTANTIATE

}  // namespace twofour::kernels::cuda
