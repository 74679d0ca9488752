#include "twofour/base/error.h"

namespace twofour::kernels::cuda {

[[noreturn]] void launch_failed(const char* reason);

void launch_failed(const char* reason) { fail("a CUDA kernel could not be launched: {}", reason); }

}  // namespace twofour::kernels::cuda
