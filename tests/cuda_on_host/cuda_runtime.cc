#include "cuda_runtime.h"

namespace cuda_on_host {

void run(int64_t blocks, int threads, const std::function<void()>& fn) {
  for (int64_t b = 0; b < blocks; ++b) {
    Block shared(threads);
    std::vector<std::jthread> running;
    for (int t = 0; t < threads; ++t) {
      running.emplace_back([&, t] {
        block = &shared;
        blockIdx.x = static_cast<unsigned>(b);
        threadIdx.x = static_cast<unsigned>(t);
        blockDim.x = static_cast<unsigned>(threads);
        gridDim.x = static_cast<unsigned>(blocks);
        fn();
      });
    }
  }
}

}  // namespace cuda_on_host
