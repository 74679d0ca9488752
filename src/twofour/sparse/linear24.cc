#include "twofour/sparse/linear24.h"

#include <ATen/ops/addmm.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/sum.h>
#include <torch/csrc/autograd/custom_function.h>

#include "twofour/sparse/accumulate.h"
#include "twofour/sparse/mvue.h"

namespace twofour::sparse {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// The weight is an argument only so that the graph is recorded: its gradient is added in place.
struct LinearFunction : torch::autograd::Function<LinearFunction> {
  static Variable forward(AutogradContext* context, const Variable& x, const Variable& weight,
                          const Linear& layer) {
    const at::Tensor& used = layer.forward_weight.defined() ? layer.forward_weight : weight;
    const at::Tensor& bias = layer.forward_bias.defined() ? layer.forward_bias : layer.bias;
    context->save_for_backward({x, used.detach(), weight, layer.bias});
    context->saved_data["mvue"] = layer.weight_gradient == WeightGradient::kMvue;
    context->saved_data["seed"] = static_cast<int64_t>(layer.stream.seed);
    context->saved_data["step"] = static_cast<int64_t>(layer.stream.step);
    context->saved_data["micro_batch"] = static_cast<int64_t>(layer.stream.micro_batch);
    context->saved_data["tensor"] = static_cast<int64_t>(layer.stream.tensor);
    return forward_product(x, used.detach(), bias.defined() ? bias.detach() : bias);
  }

  static RandomStream saved_stream(AutogradContext* context) {
    const auto number = [&](const char* name) { return context->saved_data[name].toInt(); };
    return {static_cast<uint64_t>(number("seed")), static_cast<uint32_t>(number("step")),
            static_cast<uint32_t>(number("micro_batch")), static_cast<uint32_t>(number("tensor"))};
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &used = saved[1], &weight = saved[2], &bias = saved[3];
    const at::Tensor dz = gradients[0].contiguous();
    if (bias.defined()) add_to_gradient(bias, dz.sum(0, /*keepdim=*/false, at::kFloat));
    const bool sparse = context->saved_data["mvue"].toBool();
    const at::Tensor estimate = sparse ? mvue24(dz, saved_stream(context)) : dz;
    add_weight_gradient_product(estimate, x, gradient_of(weight));
    at::Tensor dx;
    if (context->needs_input_grad(0)) dx = input_gradient_product(dz, used);
    return {dx, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor linear(const at::Tensor& x, const Linear& layer) {
  return LinearFunction::apply(x, layer.weight, layer);
}

at::Tensor forward_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return bias.defined() ? at::addmm(bias, x, weight.t()) : at::mm(x, weight.t());
}

at::Tensor input_gradient_product(const at::Tensor& dz, const at::Tensor& weight) {
  return at::mm(dz, weight);
}

void add_weight_gradient_product(const at::Tensor& dz, const at::Tensor& x, at::Tensor& gradient) {
  if (dz.scalar_type() == gradient.scalar_type()) {
    gradient.addmm_(dz.t(), x);
  } else {
    accumulate(at::mm(dz.t(), x), gradient);
  }
}

}  // namespace twofour::sparse
