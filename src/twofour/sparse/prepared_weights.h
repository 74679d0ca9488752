// The weights of torch.ops.twofour.* in the forms that products read, kept from call to call.
#pragma once

#include <functional>

#include <ATen/core/Tensor.h>

#include "twofour/sparse/weight24.h"

namespace twofour::sparse {

/// Calls product(weight's forms), which are still those of the last call with this weight if its
/// values are the same. They are dropped with the tensor's memory, and beyond 512 weights those
/// unused for longest.
///
/// A change is noticed by PyTorch's count of in-place operations and by 64 of the groups: so also
/// an optimiser's that writes to weight.data, which is not counted; but not every single entry that
/// is written past PyTorch. `in_training`: see Weight24. Calls with one weight take turns.
at::Tensor with_prepared_weight(const at::Tensor& weight, bool in_training,
                                const std::function<at::Tensor(Weight24&)>& product);

/// The number of weights whose forms are kept.
int64_t prepared_weight_count();

}  // namespace twofour::sparse
