// Transposable masks on CUDA: one thread per 4 x 4 block.
#include "twofour/kernels/cuda/cuda_launch.cuh"
#include "twofour/kernels/masks/transposable24.h"

namespace twofour::kernels::cuda {
namespace {

template <class T>
__global__ void transposable_blocks(int64_t blocks, const T* weight, int64_t columns,
                                    int64_t stride, uint8_t* mask) {
  const int64_t blocks_a_row = columns / 4;
  const Indices own = indices();
  for (int64_t i = own.first; i < blocks; i += own.step) {
    const int64_t row = i / blocks_a_row * 4, column = i % blocks_a_row * 4;
    float block[4][4];
    for (int r = 0; r < 4; ++r) {
      const Four<T> in = load_four(weight + (row + r) * stride + column);
      for (int c = 0; c < 4; ++c) block[r][c] = to_float(in.entry[c]);
    }
    const uint32_t kept = transposable_pattern(block);
    for (int r = 0; r < 4; ++r) {
      Four<uint8_t> entries;
      for (int c = 0; c < 4; ++c) entries.entry[c] = kept >> (4 * r + c) & 1u;
      store_four(entries, mask + (row + r) * columns + column);
    }
  }
}

}  // namespace

template <class T>
void transposable_mask24(const T* weight, int64_t rows, int64_t columns, int64_t stride,
                         uint8_t* mask, Stream stream) {
  launch(transposable_blocks<T>, rows / 4 * (columns / 4), stream, weight, columns, stride, mask);
}

#define TWOFOUR_INSTANTIATE(T) \
  template void transposable_mask24<T>(const T*, int64_t, int64_t, int64_t, uint8_t*, Stream);
TWOFOUR_INSTANTIATE(float)
TWOFOUR_INSTANTIATE(bfloat16)
TWOFOUR_INSTANTIATE(float16)
#undef TWOFOUR_INSTANTIATE

}  // namespace twofour::kernels::cuda
