#include "twofour/sparse/accumulate.h"

#include <ATen/ops/zeros_like.h>

#include "twofour/kernels/accumulate.h"

namespace twofour::sparse {

at::Tensor& gradient_of(const at::Tensor& weight) {
  at::Tensor& gradient = weight.mutable_grad();
  if (!gradient.defined()) {
    gradient = at::zeros_like(weight.detach(), weight.options().dtype(at::kFloat));
  }
  return gradient;
}

void accumulate(const at::Tensor& addend, at::Tensor& gradient) {
  if (addend.scalar_type() == at::kBFloat16 && addend.is_cpu()) {
    kernels::accumulate(static_cast<const kernels::bfloat16*>(addend.const_data_ptr()),
                        gradient.mutable_data_ptr<float>(), addend.numel());
  } else {
    gradient.add_(addend);
  }
}

void add_to_gradient(const at::Tensor& weight, const at::Tensor& addend) {
  accumulate(addend, gradient_of(weight));
}

}  // namespace twofour::sparse
