// Memory for weight forms that are prepared for a single product.
#pragma once

#include <memory>
#include <tuple>

#include <ATen/core/Tensor.h>

#include "twofour/sparse/weight24.h"

namespace twofour::sparse {

/// Empty forms of a weight with weight's shape and dtype, in memory of earlier products of that
/// shape. The memory of the last four shapes is kept, because the system needs as long for new
/// pages as packing does. Several threads may have some at the same time.
class ScratchForms {
 public:
  ScratchForms(const at::Tensor& weight, Along along);
  ScratchForms(const ScratchForms&) = delete;
  ScratchForms& operator=(const ScratchForms&) = delete;
  ~ScratchForms();

  Weight24* operator->() const { return forms_.get(); }
  Weight24* get() const { return forms_.get(); }

 private:
  std::tuple<at::ScalarType, int64_t, int64_t, Along> key_;  // the shapes that the memory fits
  std::unique_ptr<Weight24> forms_;
};

}  // namespace twofour::sparse
