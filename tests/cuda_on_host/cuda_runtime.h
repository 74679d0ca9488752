// A stand-in for CUDA's header that compiles the .cu files as C++. The threads of a block are
// threads of the CPU; blocks run one after the other. It shows that indices, edges and sums are
// right, not that a GPU agrees.
#pragma once

#include <atomic>
#include <barrier>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#define __global__
#define __device__
#define __shared__ static

namespace cuda_on_host {

struct Index {
  unsigned x = 0;
};

/// The state shared by the threads of the running block.
struct Block {
  explicit Block(int threads) : barrier(threads), values(static_cast<size_t>(threads)) {}
  std::barrier<> barrier;
  std::vector<unsigned> values;
};

inline thread_local Block* block = nullptr;

/// Calls fn in every thread of every block.
void run(int64_t blocks, int threads, const std::function<void()>& fn);

}  // namespace cuda_on_host

inline thread_local cuda_on_host::Index blockIdx, threadIdx, blockDim, gridDim;

inline void __syncthreads() { cuda_on_host::block->barrier.arrive_and_wait(); }

/// All threads of the block take part, where CUDA needs only the warp's.
inline unsigned __reduce_add_sync(unsigned, unsigned value) {
  std::vector<unsigned>& values = cuda_on_host::block->values;
  values[threadIdx.x] = value;
  __syncthreads();
  unsigned sum = 0;
  for (unsigned lane = 0; lane < 32; ++lane) sum += values[threadIdx.x / 32 * 32 + lane];
  __syncthreads();
  return sum;
}

inline int __popc(unsigned value) { return __builtin_popcount(value); }

inline unsigned long long atomicAdd(unsigned long long* at, unsigned long long value) {
  return std::atomic_ref(*at).fetch_add(value);
}

template <class Number>
Number lower_or_raise(Number* at, Number value, bool lower) {
  std::atomic_ref<Number> current(*at);
  Number seen = current.load();
  while ((lower ? value < seen : value > seen) && !current.compare_exchange_weak(seen, value)) {
  }
  return seen;
}

inline long long atomicMin(long long* at, long long value) {
  return lower_or_raise(at, value, true);
}
inline unsigned atomicMax(unsigned* at, unsigned value) { return lower_or_raise(at, value, false); }
