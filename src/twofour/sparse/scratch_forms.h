// Memory for the forms of weights that are prepared for one product only.
#pragma once

#include <memory>
#include <tuple>

#include <ATen/core/Tensor.h>

#include "twofour/sparse/weight24.h"

namespace twofour::sparse {

/// The forms of a weight of weight's shape and dtype, none made yet, in memory that products of
/// that shape had before: that of the last four shapes is kept, because the system takes as long to
/// give new pages as packing takes. Several threads may have some at once.
class ScratchForms {
 public:
  ScratchForms(const at::Tensor& weight, Along along);
  ScratchForms(const ScratchForms&) = delete;
  ScratchForms& operator=(const ScratchForms&) = delete;
  ~ScratchForms();

  Weight24* operator->() const { return forms_.get(); }
  Weight24* get() const { return forms_.get(); }

 private:
  std::tuple<at::ScalarType, int64_t, int64_t, Along> key_;  // what memory fits
  std::unique_ptr<Weight24> forms_;
};

}  // namespace twofour::sparse
