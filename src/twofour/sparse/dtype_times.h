// Which dtype this machine multiplies fastest.
#pragma once

#include <optional>
#include <vector>

#include "twofour/sparse/linear24.h"

namespace twofour::sparse {

/// How layers are trained whose forward weight is 2:4.
struct SparseUse {
  Along along = Along::kRows;
  WeightGradient weight_gradient = WeightGradient::kExact;
};

struct DtypeTime {
  at::ScalarType dtype;
  /// Milliseconds that the three products of a training step take of a layer 768 -> 3072 on 512
  /// tokens, each in the fastest way (choice.h); with a SparseUse those of a 2:4 layer as well.
  double ms;
};

/// The times of `dtypes`, in their order; measured once a machine, like all choices. Empty where
/// TWOFOUR_TUNE=off forbids measuring.
std::vector<DtypeTime> dtype_times(const std::vector<at::ScalarType>& dtypes,
                                   const std::optional<SparseUse>& use = {});

/// The fastest of `times` (not empty). float32, where it is among them, stays unless another takes
/// less than nine tenths of its time: it is the most exact.
at::ScalarType fastest_dtype(const std::vector<DtypeTime>& times);

}  // namespace twofour::sparse
