// All kernels are launched here. Tests put another file of this name first on the include path,
// which runs a kernel's threads on the CPU.
#pragma once

#include <cstdint>

#include <cuda_runtime.h>

#include "twofour/kernels/cuda/cuda.h"

namespace twofour::kernels::cuda {

constexpr int kThreads = 256;  // threads of a block

/// Throws Error. Not in a .cu file because nvcc cannot read fmt's headers.
[[noreturn]] void launch_failed(const char* reason);

/// Launches kernel(arguments…) with that many blocks; throws Error on failure.
template <class... Parameters, class... Arguments>
void enqueue(void (*kernel)(Parameters...), int64_t blocks, Stream stream, Arguments... arguments) {
  kernel<<<static_cast<unsigned>(blocks), kThreads, 0, static_cast<cudaStream_t>(stream)>>>(
      arguments...);
  const cudaError_t status = cudaGetLastError();
  if (status != cudaSuccess) launch_failed(cudaGetErrorString(status));
}

}  // namespace twofour::kernels::cuda
