// Finds the dtype with the fastest products on this machine.
#pragma once

#include <optional>
#include <vector>

#include "twofour/sparse/linear24.h"

namespace twofour::sparse {

/// The training of layers with a 2:4 forward weight.
struct SparseUse {
  Along along = Along::kRows;
  WeightGradient weight_gradient = WeightGradient::kExact;
};

struct DtypeTime {
  at::ScalarType dtype;
  /// Milliseconds of the three products of a training step, for a layer 768 -> 3072 on 512 tokens,
  /// each in the fastest way (choice.h); with a SparseUse also those of a 2:4 layer.
  double ms;
};

/// The times of `dtypes`, in their order, measured once per machine like all choices. Empty if
/// TWOFOUR_TUNE=off forbids measuring.
std::vector<DtypeTime> dtype_times(const std::vector<at::ScalarType>& dtypes,
                                   const std::optional<SparseUse>& use = {});

/// The fastest of `times` (not empty). float32, the most exact, is preferred unless another takes
/// less than nine tenths of its time.
at::ScalarType fastest_dtype(const std::vector<DtypeTime>& times);

}  // namespace twofour::sparse
