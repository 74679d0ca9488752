// The conditions that affect a product's time, besides its shape.
#pragma once

#include <string>

namespace twofour::tensor {

/// The CPU, the instruction set of the kernels, their revision, libtorch, the thread count, and the
/// environment variables that affect oneDNN, ATen and MKL (ONEDNN_MAX_CPU_ISA and the like, if
/// set).
std::string machine_key();

}  // namespace twofour::tensor
