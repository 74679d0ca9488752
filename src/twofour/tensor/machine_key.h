// What the time of a product depends on besides its shape.
#pragma once

#include <string>

namespace twofour::tensor {

/// The CPU, the instruction set of the kernels, their revision, libtorch, the thread count, and
/// what the environment makes oneDNN, ATen and MKL do (ONEDNN_MAX_CPU_ISA and the like, where set).
std::string machine_key();

}  // namespace twofour::tensor
