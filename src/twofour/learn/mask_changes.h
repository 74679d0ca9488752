#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace twofour::learn {

/// The number of groups of `group` entries in which two packed masks differ.
int64_t changed_groups(const at::Tensor& a, const at::Tensor& b, int64_t group, int64_t groups);

}  // namespace twofour::learn
