// Packed24 on CUDA: one thread per byte of positions (two groups).
#include "twofour/kernels/cuda/cuda_launch.cuh"
#include "twofour/kernels/packed24/packed24_loops.h"

namespace twofour::kernels::cuda {
namespace {

// Stores the two kept entries of a group and returns its position; sets *overfull if the group
// keeps more than two.
template <class T>
__device__ uint32_t packed_group(const T* weight, const uint8_t* mask, T* values, bool& overfull) {
  const Four<T> group = load_four(weight);
  uint32_t kept = 0;
  for (int i = 0; i < 4; ++i) {
    kept |= uint32_t{mask ? mask[i] != 0 : to_float(group.entry[i]) != 0.0f} << i;
  }
  overfull = is_overfull(kept);
  const uint32_t position = position_of_set(filled_set(kept));
  const uint32_t first = position & 3, second = position >> 2;
  T one = {}, two = {};
  for (uint32_t i = 0; i < 4; ++i) {
    if (i == first && kept >> i & 1) one = group.entry[i];
    if (i == second && kept >> i & 1) two = group.entry[i];
  }
  values[0] = one;
  values[1] = two;
  return position;
}

template <class T>
__global__ void packed_bytes(int64_t bytes, const T* weight, int64_t columns, int64_t stride,
                             const uint8_t* mask, T* values, uint8_t* positions,
                             int64_t* violation) {
  const int64_t bytes_a_row = (columns + 7) / 8;
  const Indices own = indices();
  for (int64_t i = own.first; i < bytes; i += own.step) {
    const int64_t row = i / bytes_a_row, begin = i % bytes_a_row * 8;
    uint32_t byte = 0;
    for (int64_t column = begin; column < begin + 8 && column < columns; column += 4) {
      const int64_t entry = row * columns + column;
      bool overfull;
      byte |= packed_group(weight + row * stride + column, mask ? mask + entry : nullptr,
                           values + entry / 2, overfull)
              << (column - begin);
      if (overfull) atomicMin(reinterpret_cast<long long*>(violation), entry);
    }
    positions[i] = static_cast<uint8_t>(byte);
  }
}

template <class T>
__global__ void unpacked_groups(int64_t groups, const T* values, const uint8_t* positions,
                                int64_t columns, T* weight, int64_t stride) {
  const int64_t groups_a_row = columns / 4, bytes_a_row = (columns + 7) / 8;
  const Indices own = indices();
  for (int64_t i = own.first; i < groups; i += own.step) {
    const int64_t row = i / groups_a_row, g = i % groups_a_row;
    const uint32_t position = positions[row * bytes_a_row + g / 2] >> (g % 2 * 4) & 15u;
    Four<T> group = {};
    for (uint32_t k = 0; k < 4; ++k) {
      if (k == (position & 3)) group.entry[k] = values[2 * i];
      if (k == position >> 2) group.entry[k] = values[2 * i + 1];
    }
    store_four(group, weight + row * stride + 4 * g);
  }
}

}  // namespace

template <class T>
void pack24(const T* weight, int64_t rows, int64_t columns, int64_t stride, const uint8_t* mask,
            T* values, uint8_t* positions, int64_t* violation, Stream stream) {
  launch(packed_bytes<T>, rows * ((columns + 7) / 8), stream, weight, columns, stride, mask, values,
         positions, violation);
}

template <class T>
void unpack24(const T* values, const uint8_t* positions, int64_t rows, int64_t columns, T* weight,
              int64_t stride, Stream stream) {
  launch(unpacked_groups<T>, rows * (columns / 4), stream, values, positions, columns, weight,
         stride);
}

#define TWOFOUR_INSTANTIATE(T)                                                               \
  template void pack24<T>(const T*, int64_t, int64_t, int64_t, const uint8_t*, T*, uint8_t*, \
                          int64_t*, Stream);                                                 \
  template void unpack24<T>(const T*, const uint8_t*, int64_t, int64_t, T*, int64_t, Stream);
TWOFOUR_INSTANTIATE(float)
TWOFOUR_INSTANTIATE(bfloat16)
TWOFOUR_INSTANTIATE(float16)
#undef TWOFOUR_INSTANTIATE

}  // namespace twofour::kernels::cuda
