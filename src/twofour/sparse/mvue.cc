#include "twofour/sparse/mvue.h"

#include <ATen/ops/empty_like.h>

#include "twofour/base/error.h"
#include "twofour/kernels/mvue.h"

namespace twofour::sparse {

at::Tensor mvue24(const at::Tensor& dz, const RandomStream& stream) {
  at::Tensor out = at::empty_like(dz);
  const int64_t tokens = dz.size(0), features = dz.size(1);
  if (dz.scalar_type() == at::kFloat) {
    kernels::mvue24(dz.const_data_ptr<float>(), tokens, features, dz.stride(0), stream,
                    out.mutable_data_ptr<float>());
  } else if (dz.scalar_type() == at::kBFloat16) {
    kernels::mvue24(static_cast<const kernels::bfloat16*>(dz.const_data_ptr()), tokens, features,
                    dz.stride(0), stream, static_cast<kernels::bfloat16*>(out.mutable_data_ptr()));
  } else if (dz.scalar_type() == at::kHalf) {
    kernels::mvue24(static_cast<const kernels::float16*>(dz.const_data_ptr()), tokens, features,
                    dz.stride(0), stream, static_cast<kernels::float16*>(out.mutable_data_ptr()));
  } else {
    fail("MVUE takes float32, bfloat16 or float16, not {}", c10::toString(dz.scalar_type()));
  }
  return out;
}

}  // namespace twofour::sparse
