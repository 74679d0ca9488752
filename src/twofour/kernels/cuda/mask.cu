// Masks on CUDA: one thread per group, 4 x 4 block or byte.
#include "twofour/kernels/cuda/cuda_launch.cuh"
#include "twofour/kernels/group.h"

namespace twofour::kernels::cuda {
namespace {

constexpr int kLargestGroup = 8;

template <class T>
__global__ void magnitude_groups(int64_t groups, const T* weight, int64_t groups_a_row,
                                 int64_t stride, int kept, int size, uint8_t* mask) {
  const Indices own = indices();
  for (int64_t g = own.first; g < groups; g += own.step) {
    const T* in = weight + g / groups_a_row * stride + g % groups_a_row * size;
    float group[kLargestGroup];
    for (int i = 0; i < size; ++i) group[i] = to_float(in[i]);
    for (int i = 0; i < size; ++i) mask[g * size + i] = is_kept(group, size, kept, i);
  }
}

// 2:4 with one load and one store per group.
template <class T>
__global__ void magnitude_groups24(int64_t groups, const T* weight, int64_t groups_a_row,
                                   int64_t stride, uint8_t* mask) {
  const Indices own = indices();
  for (int64_t g = own.first; g < groups; g += own.step) {
    const Four<T> in = load_four(weight + g / groups_a_row * stride + g % groups_a_row * 4);
    float group[4];
    Four<uint8_t> kept;
    for (int i = 0; i < 4; ++i) group[i] = to_float(in.entry[i]);
    for (int i = 0; i < 4; ++i) kept.entry[i] = is_kept(group, 4, 2, i);
    store_four(kept, mask + 4 * g);
  }
}

template <class T>
__global__ void masked_entries(int64_t count, const T* weight, int64_t columns, int64_t stride,
                               const uint8_t* mask, T* out) {
  const Indices own = indices();
  for (int64_t i = own.first; i < count; i += own.step) {
    out[i] = mask[i] ? weight[i / columns * stride + i % columns] : T{};
  }
}

__global__ void differing_bytes(int64_t count, const uint8_t* mask, const uint8_t* other,
                                int64_t* flips) {
  const Indices own = indices();
  int differing = 0;
  for (int64_t i = own.first; i < count; i += own.step) differing += !mask[i] != !other[i];
  add_to(flips, differing);
}

__global__ void differing_bits(int64_t bytes, const uint8_t* bits, const uint8_t* other,
                               uint32_t last_byte, int64_t* flips) {
  const Indices own = indices();
  int differing = 0;
  for (int64_t i = own.first; i < bytes; i += own.step) {
    const uint32_t counted = i + 1 < bytes ? 0xffu : last_byte;
    differing += __popc((bits[i] ^ other[i]) & counted);
  }
  add_to(flips, differing);
}

__global__ void packed_bytes(int64_t bytes, const uint8_t* mask, int64_t count, uint8_t* bits) {
  const Indices own = indices();
  for (int64_t i = own.first; i < bytes; i += own.step) {
    uint32_t byte = 0;
    for (int64_t k = 8 * i; k < 8 * i + 8; ++k) byte = byte << 1 | (k < count && mask[k] != 0);
    bits[i] = static_cast<uint8_t>(byte);
  }
}

__global__ void unpacked_entries(int64_t count, const uint8_t* bits, uint8_t* mask) {
  const Indices own = indices();
  for (int64_t i = own.first; i < count; i += own.step) mask[i] = bits[i / 8] >> (7 - i % 8) & 1;
}

}  // namespace

template <class T>
void magnitude_mask(const T* weight, int64_t rows, int64_t columns, int64_t stride, int kept,
                    int group, uint8_t* mask, Stream stream) {
  const int64_t groups_a_row = columns / group;
  if (kept == 2 && group == 4) {
    launch(magnitude_groups24<T>, rows * groups_a_row, stream, weight, groups_a_row, stride, mask);
  } else {
    launch(magnitude_groups<T>, rows * groups_a_row, stream, weight, groups_a_row, stride, kept,
           group, mask);
  }
}

template <class T>
void apply_mask(const T* weight, int64_t rows, int64_t columns, int64_t stride, const uint8_t* mask,
                T* out, Stream stream) {
  launch(masked_entries<T>, rows * columns, stream, weight, columns, stride, mask, out);
}

void mask_flips(const uint8_t* mask, const uint8_t* other, int64_t count, int64_t* flips,
                Stream stream) {
  launch(differing_bytes, count, stream, mask, other, flips);
}

void bit_flips(const uint8_t* bits, const uint8_t* other, int64_t count, int64_t* flips,
               Stream stream) {
  const uint32_t last_byte = 0xffu << (7 - (count + 7) % 8);
  launch(differing_bits, (count + 7) / 8, stream, bits, other, last_byte, flips);
}

void pack_mask(const uint8_t* mask, int64_t count, uint8_t* bits, Stream stream) {
  launch(packed_bytes, (count + 7) / 8, stream, mask, count, bits);
}

void unpack_mask(const uint8_t* bits, int64_t count, uint8_t* mask, Stream stream) {
  launch(unpacked_entries, count, stream, bits, mask);
}

#define TWOFOUR_INSTANTIATE(T)                                                             \
  template void magnitude_mask<T>(const T*, int64_t, int64_t, int64_t, int, int, uint8_t*, \
                                  Stream);                                                 \
  template void apply_mask<T>(const T*, int64_t, int64_t, int64_t, const uint8_t*, T*, Stream);
TWOFOUR_INSTANTIATE(float)
TWOFOUR_INSTANTIATE(bfloat16)
TWOFOUR_INSTANTIATE(float16)
#undef TWOFOUR_INSTANTIATE

}  // namespace twofour::kernels::cuda
