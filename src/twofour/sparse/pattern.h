// Checks whether a weight is 2:4 sparse.
#pragma once

#include <ATen/core/Tensor.h>

namespace twofour::sparse {

/// The number of groups of four consecutive entries of a row of weight [out, in] (`in` a multiple
/// of 4) with more than two nonzero ones. Any floating-point dtype.
int64_t violations24(const at::Tensor& weight);

/// Whether there are none and `in` is a multiple of 4. It returns early if not.
bool is_24(const at::Tensor& weight);

}  // namespace twofour::sparse
