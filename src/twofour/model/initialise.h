#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace twofour::model {

/// Fills a contiguous float32 tensor with N(0, deviation²). The values are a pure function of seed,
/// `tensor_index` and position (Box-Muller on Philox numbers), for any thread count.
void fill_normal(at::Tensor& tensor, float deviation, uint64_t seed, uint32_t tensor_index);

}  // namespace twofour::model
