// MVUE on CUDA: one thread per four groups of neighbouring features, with one load and one store
// per token. The numbers of the four share a Philox block.
#include "twofour/kernels/cuda/cuda_launch.cuh"
#include "twofour/kernels/group.h"

namespace twofour::kernels::cuda {
namespace {

struct GradientShape {
  int64_t tokens, features, stride;
};

// The entries of `width` neighbouring features, then zeros.
template <class T>
__device__ Four<T> load_some(const T* in, int width) {
  if (width == 4) return load_four(in);
  Four<T> four = {};
  for (int i = 0; i < width; ++i) four.entry[i] = in[i];
  return four;
}

template <class T>
__device__ void store_some(const Four<T>& four, int width, T* out) {
  if (width == 4) {
    store_four(four, out);
  } else {
    for (int i = 0; i < width; ++i) out[i] = four.entry[i];
  }
}

// Tokens token … token + height - 1, features feature … feature + width - 1.
template <class T, Mvue kKind>
__device__ void draw_four_groups(const T* dz, GradientShape shape, int64_t token, int64_t feature,
                                 const RandomStream& numbers, T* out) {
  const int height = static_cast<int>(shape.tokens - token < 4 ? shape.tokens - token : 4);
  const int width = static_cast<int>(shape.features - feature < 4 ? shape.features - feature : 4);
  Four<T> rows[4] = {};
  for (int r = 0; r < height; ++r) {
    rows[r] = load_some(dz + (token + r) * shape.stride + feature, width);
  }
  const uint32_t group = static_cast<uint32_t>(token / 4) * mvue24_group_stride(shape.features) +
                         static_cast<uint32_t>(feature);
  for (int i = 0; i < 4; ++i) {
    const float x[4] = {to_float(rows[0].entry[i]), to_float(rows[1].entry[i]),
                        to_float(rows[2].entry[i]), to_float(rows[3].entry[i])};
    float drawn[4];
    mvue24_group<kKind>(x, mvue24_uniform(numbers, group + static_cast<uint32_t>(i)), drawn);
    for (int r = 0; r < 4; ++r) store(drawn[r], rows[r].entry[i]);
  }
  for (int r = 0; r < height; ++r) {
    store_some(rows[r], width, out + (token + r) * shape.features + feature);
  }
}

template <class T, Mvue kKind>
__global__ void drawn_groups(int64_t count, const T* dz, GradientShape shape, RandomStream numbers,
                             T* out) {
  const int64_t fours_a_row = (shape.features + 3) / 4;
  const Indices own = indices();
  for (int64_t i = own.first; i < count; i += own.step) {
    draw_four_groups<T, kKind>(dz, shape, i / fours_a_row * 4, i % fours_a_row * 4, numbers, out);
  }
}

}  // namespace

template <class T>
void mvue24(const T* dz, int64_t tokens, int64_t features, int64_t stride,
            const RandomStream& numbers, T* out, Mvue kind, Stream stream) {
  const auto kernel =
      kind == Mvue::kExact ? drawn_groups<T, Mvue::kExact> : drawn_groups<T, Mvue::kApproximate>;
  launch(kernel, (tokens + 3) / 4 * ((features + 3) / 4), stream, dz,
         GradientShape{tokens, features, stride}, numbers, out);
}

#define TWOFOUR_INSTANTIATE(T)                                                                \
  template void mvue24<T>(const T*, int64_t, int64_t, int64_t, const RandomStream&, T*, Mvue, \
                          Stream);
TWOFOUR_INSTANTIATE(float)
TWOFOUR_INSTANTIATE(bfloat16)
TWOFOUR_INSTANTIATE(float16)
#undef TWOFOUR_INSTANTIATE

}  // namespace twofour::kernels::cuda
