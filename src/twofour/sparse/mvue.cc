#include "twofour/sparse/mvue.h"

#include <ATen/ops/empty_like.h>

#include "twofour/base/parts.h"
#include "twofour/kernels/mvue/mvue.h"
#include "twofour/sparse/kernel_types.h"

namespace twofour::sparse {

at::Tensor mvue24(const at::Tensor& dz, const RandomStream& stream) {
  const PartTimer timer(Part::kMvue);
  at::Tensor out = at::empty_like(dz);
  const int64_t tokens = dz.size(0), features = dz.size(1);
  with_type(dz.scalar_type(), [&](auto* type) {
    using T = Pointee<decltype(type)>;
    kernels::mvue24(static_cast<const T*>(dz.const_data_ptr()), tokens, features, dz.stride(0),
                    stream, static_cast<T*>(out.mutable_data_ptr()));
  });
  return out;
}

}  // namespace twofour::sparse
