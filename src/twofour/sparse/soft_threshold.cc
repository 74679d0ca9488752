#include "twofour/sparse/soft_threshold.h"

#include "twofour/base/error.h"
#include "twofour/kernels/forward_weight/soft_threshold.h"
#include "twofour/sparse/kernel_types.h"

namespace twofour::sparse {
namespace {

void check_weight(const at::Tensor& weight) {
  if (weight.size(1) % 4 != 0) {
    fail("a weight of {} inputs cannot be 2:4 sparse: it must be a multiple of 4", weight.size(1));
  }
  if (weight.stride(1) != 1) fail("a weight with contiguous rows is needed");
}

}  // namespace

double soft_threshold_scale(const at::Tensor& weight) {
  check_weight(weight);
  return kernels::soft_threshold_scale(weight.const_data_ptr<float>(), weight.size(0),
                                       weight.size(1), weight.stride(0));
}

kernels::WeightCounts soft_threshold24(const at::Tensor& weight, double scale, at::Tensor& out,
                                       at::Tensor& mask) {
  check_weight(weight);
  return with_type(out.scalar_type(), [&](auto* type) {
    using T = Pointee<decltype(type)>;
    return kernels::soft_threshold24(weight.const_data_ptr<float>(), weight.size(0), weight.size(1),
                                     weight.stride(0), static_cast<float>(scale),
                                     static_cast<T*>(out.mutable_data_ptr()),
                                     mask.mutable_data_ptr<uint8_t>());
  });
}

}  // namespace twofour::sparse
