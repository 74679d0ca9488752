// Gradients of the operators. A backward pass calls operators again, through the dispatcher, so
// that it runs on every device and torch.compile can trace it.
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/sum.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "twofour/sparse/operators.h"

namespace twofour::sparse::operators {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using OptionalTensor = std::optional<at::Tensor>;

// Calls the operator of that name with the signature of `function`, which only gives its type.
template <class Result, class... Parameters>
auto dispatched(const char* name, Result (*)(Parameters...)) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Result(Parameters...)>();
}

at::Tensor masked(const at::Tensor& weight, const at::Tensor& mask) {
  static const auto op = dispatched("twofour::apply_mask", &apply_mask);
  return op.call(weight, mask);
}

struct ApplyMask : torch::autograd::Function<ApplyMask> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& weight,
                            const at::Tensor& mask) {
    at::AutoDispatchBelowADInplaceOrView guard;
    context->save_for_backward({mask});
    return masked(weight, mask);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    return {masked(gradients[0], context->get_saved_variables()[0]), at::Tensor()};
  }
};

struct SoftThreshold : torch::autograd::Function<SoftThreshold> {
  static variable_list forward(AutogradContext* context, const at::Tensor& weight, double scale) {
    at::AutoDispatchBelowADInplaceOrView guard;
    static const auto op = dispatched("twofour::soft_threshold24", &soft_threshold24);
    auto [out, mask] = op.call(weight, scale);
    context->mark_non_differentiable({mask});
    return {out, mask};
  }

  static variable_list backward(AutogradContext*, const variable_list& gradients) {
    return {gradients[0], at::Tensor()};
  }
};

// Where MVUE's numbers come from.
struct Draws {
  bool exact;
  int64_t seed;
  c10::SymInt step, micro_batch;
  int64_t tensor;

  void save(AutogradContext& context) const {
    context.saved_data["exact"] = exact;
    context.saved_data["seed"] = seed;
    context.saved_data["step"] = step;
    context.saved_data["micro_batch"] = micro_batch;
    context.saved_data["tensor"] = tensor;
  }

  static Draws saved(AutogradContext& context) {
    auto& data = context.saved_data;
    return {data["exact"].toBool(), data["seed"].toInt(), data["step"].toSymInt(),
            data["micro_batch"].toSymInt(), data["tensor"].toInt()};
  }
};

struct Linear24 : torch::autograd::Function<Linear24> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const OptionalTensor& bias, const OptionalTensor& mask,
                            bool transposable, bool mvue, const Draws& draws) {
    at::AutoDispatchBelowADInplaceOrView guard;
    static const auto op = dispatched("twofour::linear24", &linear24);
    at::Tensor used = weight;
    // The flag tells the product that this weight, too, will be another one in the next step.
    if (mask) used = masked(weight, *mask).requires_grad_(weight.requires_grad());
    context->save_for_backward({x, used});
    context->saved_data["transposable"] = transposable;
    context->saved_data["mvue"] = mvue;
    context->saved_data["bias"] = bias.has_value() && bias->defined();
    draws.save(*context);
    return op.call(x, used, bias, std::nullopt, transposable, mvue, draws.exact, draws.seed,
                   draws.step, draws.micro_batch, draws.tensor);
  }

  static at::Tensor input_gradient(const at::Tensor& dz, const at::Tensor& weight, bool sparse) {
    static const auto op = dispatched("twofour::input_gradient24", &input_gradient24);
    return sparse ? op.call(dz, weight) : at::mm(dz, weight);
  }

  static at::Tensor weight_gradient(const at::Tensor& dz, const at::Tensor& x, bool mvue,
                                    const Draws& draws) {
    static const auto op = dispatched("twofour::weight_gradient24", &weight_gradient24);
    if (!mvue) return at::mm(dz.t(), x);
    return op.call(dz, x, draws.seed, draws.step, draws.micro_batch, draws.tensor, draws.exact);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1];
    auto& data = context->saved_data;
    const at::Tensor dz = gradients[0].reshape_symint({-1, weight.sym_size(0)});
    variable_list result(7);
    if (context->needs_input_grad(0)) {
      result[0] =
          input_gradient(dz, weight, data["transposable"].toBool()).reshape_symint(x.sym_sizes());
    }
    if (context->needs_input_grad(1)) {
      result[1] = weight_gradient(dz, x.reshape_symint({-1, x.sym_size(-1)}), data["mvue"].toBool(),
                                  Draws::saved(*context));
    }
    if (data["bias"].toBool() && context->needs_input_grad(2)) result[2] = dz.sum(0);
    return result;
  }
};

at::Tensor differentiable_apply_mask(const at::Tensor& weight, const at::Tensor& mask) {
  return ApplyMask::apply(weight, mask);
}

std::tuple<at::Tensor, at::Tensor> differentiable_soft_threshold24(const at::Tensor& weight,
                                                                   double scale) {
  const variable_list results = SoftThreshold::apply(weight, scale);
  return {results[0], results[1]};
}

at::Tensor differentiable_linear24(const at::Tensor& x, const at::Tensor& weight,
                                   const OptionalTensor& bias, const OptionalTensor& mask,
                                   bool transposable, bool mvue, bool exact, int64_t seed,
                                   c10::SymInt step, c10::SymInt micro_batch, int64_t tensor) {
  return Linear24::apply(x, weight, bias, mask, transposable, mvue,
                         Draws{exact, seed, step, micro_batch, tensor});
}

}  // namespace

TORCH_LIBRARY_IMPL(twofour, Autograd, library) {
  library.impl("apply_mask", &differentiable_apply_mask);
  library.impl("soft_threshold24", &differentiable_soft_threshold24);
  library.impl("linear24", &differentiable_linear24);
  for (const char* name : {"mvue24", "round_to_float8", "pack24", "unpack24", "input_gradient24",
                           "weight_gradient24", "linear24_packed"}) {
    library.impl(name, torch::autograd::autogradNotImplementedFallback());
  }
}

}  // namespace twofour::sparse::operators
