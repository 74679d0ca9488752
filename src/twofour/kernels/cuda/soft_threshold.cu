// The soft threshold of S-STE on CUDA: one thread per byte of the mask (two groups).
#include "twofour/kernels/cuda/cuda_launch.cuh"
#include "twofour/kernels/group.h"

namespace twofour::kernels::cuda {
namespace {

constexpr int64_t kSumGroups = 1 << 12;  // groups in one partial sum of β

// A weight with rows `stride` entries apart; groups are counted row by row.
struct Groups {
  const float* weight;
  int64_t count, a_row, stride;

  __device__ const float* group(int64_t g) const {
    return weight + g / a_row * stride + g % a_row * 4;
  }
};

// Computes one group: out, its zeros, and its four mask bits.
template <class T>
__device__ uint32_t shrunk_group(const float* weight, float scale, T* out, int& zeros) {
  const Four<float> w = load_four(weight);
  const float t = threshold24(w.entry[0], w.entry[1], w.entry[2], w.entry[3]);
  Four<T> shrunk;
  uint32_t kept = 0;
  for (int i = 0; i < 4; ++i) {
    const bool keeps = is_kept(w.entry, 4, 2, i);
    store(scale * shrink(w.entry[i], t, keeps), shrunk.entry[i]);
    zeros += to_float(shrunk.entry[i]) == 0.0f;
    kept = kept << 1 | keeps;
  }
  store_four(shrunk, out);
  return kept;
}

template <class T>
__global__ void shrunk_bytes(int64_t bytes, Groups in, float scale, T* out, uint8_t* mask,
                             int64_t* counts) {
  const Indices own = indices();
  int flips = 0, zeros = 0;
  for (int64_t i = own.first; i < bytes; i += own.step) {
    uint32_t byte = shrunk_group(in.group(2 * i), scale, out + 8 * i, zeros) << 4;
    uint32_t counted = 0xf0u;
    if (2 * i + 1 < in.count) {
      byte |= shrunk_group(in.group(2 * i + 1), scale, out + 8 * i + 4, zeros);
      counted = 0xffu;
    }
    flips += __popc((byte ^ mask[i]) & counted);
    mask[i] = static_cast<uint8_t>(byte);
  }
  add_to(counts, flips);
  add_to(counts + 1, zeros);
}

struct Products {
  double with_weight, with_itself;
};

// The sum over the threads of a block; only valid in its first thread.
__device__ Products sum_of_block(Products own) {
  __shared__ Products sums[kThreads];
  sums[threadIdx.x] = own;
  for (unsigned half = kThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) {
      sums[threadIdx.x].with_weight += sums[threadIdx.x + half].with_weight;
      sums[threadIdx.x].with_itself += sums[threadIdx.x + half].with_itself;
    }
  }
  return sums[0];
}

// One block per partial sum.
__global__ void partial_products(Groups in, Products* partial) {
  const int64_t begin = blockIdx.x * kSumGroups;
  const int64_t end = begin + kSumGroups < in.count ? begin + kSumGroups : in.count;
  Products own = {0.0, 0.0};
  for (int64_t g = begin + threadIdx.x; g < end; g += kThreads) {
    const Four<float> w = load_four(in.group(g));
    const float t = threshold24(w.entry[0], w.entry[1], w.entry[2], w.entry[3]);
    for (int k = 0; k < 4; ++k) {
      const double s = shrink(w.entry[k], t, is_kept(w.entry, 4, 2, k));
      own.with_weight += w.entry[k] * s;
      own.with_itself += s * s;
    }
  }
  const Products sum = sum_of_block(own);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// Runs as one block.
__global__ void ratio_of_products(const Products* partial, int64_t count, double* scale) {
  Products own = {0.0, 0.0};
  for (int64_t i = threadIdx.x; i < count; i += kThreads) {
    own.with_weight += partial[i].with_weight;
    own.with_itself += partial[i].with_itself;
  }
  const Products sum = sum_of_block(own);
  if (threadIdx.x != 0) return;
  const bool is_zero = sum.with_weight == 0.0 && sum.with_itself == 0.0;
  *scale = is_zero ? 1.0 : sum.with_weight / sum.with_itself;
}

int64_t partial_sums(int64_t count) { return (count / 4 + kSumGroups - 1) / kSumGroups; }

Groups groups_of(const float* weight, int64_t rows, int64_t columns, int64_t stride) {
  return {weight, rows * columns / 4, columns / 4, stride};
}

}  // namespace

template <class T>
void soft_threshold24(const float* weight, int64_t rows, int64_t columns, int64_t stride,
                      float scale, T* out, uint8_t* mask, int64_t* counts, Stream stream) {
  launch(shrunk_bytes<T>, (rows * columns + 7) / 8, stream,
         groups_of(weight, rows, columns, stride), scale, out, mask, counts);
}

int64_t soft_threshold_workspace(int64_t count) { return 2 * partial_sums(count); }

void soft_threshold_scale(const float* weight, int64_t rows, int64_t columns, int64_t stride,
                          double* workspace, double* scale, Stream stream) {
  const int64_t parts = partial_sums(rows * columns);
  auto* partial = reinterpret_cast<Products*>(workspace);
  if (parts > 0) {
    enqueue(partial_products, parts, stream, groups_of(weight, rows, columns, stride), partial);
  }
  enqueue(ratio_of_products, 1, stream, partial, parts, scale);
}

#define TWOFOUR_INSTANTIATE(T)                                                                    \
  template void soft_threshold24<T>(const float*, int64_t, int64_t, int64_t, float, T*, uint8_t*, \
                                    int64_t*, Stream);
TWOFOUR_INSTANTIATE(float)
TWOFOUR_INSTANTIATE(bfloat16)
TWOFOUR_INSTANTIATE(float16)
#undef TWOFOUR_INSTANTIATE

}  // namespace twofour::kernels::cuda
