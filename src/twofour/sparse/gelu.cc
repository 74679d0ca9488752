#include "twofour/sparse/gelu.h"

#include <ATen/ops/empty_like.h>
#include <ATen/ops/gelu.h>
#include <torch/csrc/autograd/custom_function.h>

#include "twofour/kernels/training/gelu.h"
#include "twofour/sparse/kernel_types.h"

namespace twofour::sparse {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

struct GeluFunction : torch::autograd::Function<GeluFunction> {
  static Variable forward(AutogradContext* context, const Variable& z) {
    const at::Tensor in = z.contiguous();
    context->save_for_backward({in});
    at::Tensor out = at::empty_like(in);
    with_type(in.scalar_type(), [&](auto* type) {
      using T = Pointee<decltype(type)>;
      kernels::gelu(static_cast<const T*>(in.const_data_ptr()), in.numel(),
                    static_cast<T*>(out.mutable_data_ptr()));
    });
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const at::Tensor z = context->get_saved_variables()[0], dy = gradients[0].contiguous();
    at::Tensor dz = at::empty_like(z);
    with_type(z.scalar_type(), [&](auto* type) {
      using T = Pointee<decltype(type)>;
      kernels::gelu_gradient(static_cast<const T*>(z.const_data_ptr()),
                             static_cast<const T*>(dy.const_data_ptr()), z.numel(),
                             static_cast<T*>(dz.mutable_data_ptr()));
    });
    return {dz};
  }
};

}  // namespace

at::Tensor gelu(const at::Tensor& z) {
  return z.is_cpu() ? GeluFunction::apply(z) : at::gelu(z, "tanh");
}

}  // namespace twofour::sparse
