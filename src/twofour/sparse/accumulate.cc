#include "twofour/sparse/accumulate.h"

#include <ATen/ops/zeros_like.h>

#include "twofour/kernels/training/accumulate.h"
#include "twofour/kernels/training/rank_update.h"
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

void accumulate_outer(const at::Tensor& estimate, const at::Tensor& x, at::Tensor& gradient) {
  const at::Tensor left = estimate.contiguous(), right = x.contiguous();
  with_type(x.scalar_type(), [&](auto* type) {
    using T = Pointee<decltype(type)>;
    kernels::rank_update(static_cast<const T*>(left.const_data_ptr()),
                         static_cast<const T*>(right.const_data_ptr()), right.size(0), left.size(1),
                         right.size(1), gradient.mutable_data_ptr<float>());
  });
}

void add_to_gradient(const at::Tensor& weight, const at::Tensor& addend) {
  accumulate(addend, gradient_of(weight));
}

}  // namespace twofour::sparse
