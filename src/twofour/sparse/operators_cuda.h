// Operators of operators.h on CUDA tensors that other operators there use.
#pragma once

#include <ATen/core/Tensor.h>

namespace twofour::sparse::operators::on_cuda {

at::Tensor mvue24(const at::Tensor& gradient, int64_t seed, c10::SymInt step,
                  c10::SymInt micro_batch, int64_t tensor, bool exact);

at::Tensor unpack24(const at::Tensor& values, const at::Tensor& positions);

}  // namespace twofour::sparse::operators::on_cuda
