// Stands in for the file of this name in src: runs a kernel at once, on the CPU.
#pragma once

#include <cstdint>

#include <cuda_runtime.h>

#include "twofour/kernels/cuda/cuda.h"

namespace twofour::kernels::cuda {

constexpr int kThreads = 256;

template <class... Parameters, class... Arguments>
void enqueue(void (*kernel)(Parameters...), int64_t blocks, Stream, Arguments... arguments) {
  cuda_on_host::run(blocks, kThreads, [&] { kernel(arguments...); });
}

}  // namespace twofour::kernels::cuda
