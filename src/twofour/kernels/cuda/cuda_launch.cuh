// Shared by the .cu files: launch shapes, launch errors, and groups of four in memory.
#pragma once

#include <algorithm>
#include <cstdint>

#include "twofour/kernels/cuda/cuda.h"
#include "twofour/kernels/cuda/cuda_enqueue.cuh"

namespace twofour::kernels::cuda {

/// This thread's indices: i, i + step, … < count.
struct Indices {
  int64_t first, step;
};
__device__ inline Indices indices() {
  return {int64_t{blockIdx.x} * blockDim.x + threadIdx.x, int64_t{gridDim.x} * blockDim.x};
}

/// Launches kernel(count, arguments…) with one thread per item, up to the capacity of a GPU.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(int64_t, Parameters...), int64_t count, Stream stream,
            Arguments... arguments) {
  constexpr int64_t kMostBlocks = 1 << 16;
  if (count <= 0) return;
  enqueue(kernel, std::min((count + kThreads - 1) / kThreads, kMostBlocks), stream, count,
          arguments...);
}

/// Four consecutive entries, for one load or store if the address is aligned to all four.
template <class T>
struct alignas(4 * sizeof(T)) Four {
  T entry[4];
};

template <class T>
__device__ bool is_aligned(const T* four) {
  return reinterpret_cast<uintptr_t>(four) % alignof(Four<T>) == 0;
}

template <class T>
__device__ Four<T> load_four(const T* in) {
  if (is_aligned(in)) return *reinterpret_cast<const Four<T>*>(in);
  return {{in[0], in[1], in[2], in[3]}};
}

template <class T>
__device__ void store_four(const Four<T>& four, T* out) {
  if (is_aligned(out)) {
    *reinterpret_cast<Four<T>*>(out) = four;
  } else {
    for (int i = 0; i < 4; ++i) out[i] = four.entry[i];
  }
}

/// Adds a count from every thread of the warp to *total with one atomic addition. All threads of
/// the warp must call it together.
__device__ inline void add_to(int64_t* total, int count) {
  const unsigned sum = __reduce_add_sync(0xffffffffu, static_cast<unsigned>(count));
  if (threadIdx.x % 32 == 0 && sum != 0) {
    atomicAdd(reinterpret_cast<unsigned long long*>(total), sum);
  }
}

}  // namespace twofour::kernels::cuda
