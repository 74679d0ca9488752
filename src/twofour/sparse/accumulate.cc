#include "twofour/sparse/accumulate.h"

#include <ATen/ops/zeros_like.h>

#include "twofour/kernels/accumulate.h"
#include "twofour/sparse/kernel_types.h"

namespace twofour::sparse {

at::Tensor& gradient_of(const at::Tensor& weight) {
  at::Tensor& gradient = weight.mutable_grad();
  if (!gradient.defined()) {
    gradient = at::zeros_like(weight.detach(), weight.options().dtype(at::kFloat));
  }
  return gradient;
}

void accumulate(const at::Tensor& addend, at::Tensor& gradient) {
  if (addend.scalar_type() == at::kFloat || !addend.is_cpu()) {
    gradient.add_(addend);
    return;
  }
  with_type(addend.scalar_type(), [&](auto* type) {
    using T = Pointee<decltype(type)>;
    kernels::accumulate(static_cast<const T*>(addend.const_data_ptr()),
                        gradient.mutable_data_ptr<float>(), addend.numel());
  });
}

void add_to_gradient(const at::Tensor& weight, const at::Tensor& addend) {
  accumulate(addend, gradient_of(weight));
}

}  // namespace twofour::sparse
