// Gradients of the operators. A backward pass calls operators through the dispatcher, so it runs on
// every device and torch.compile can trace it.
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/sum.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "twofour/sparse/operators.h"
#include "twofour/sparse/operators_dispatch.h"

namespace twofour::sparse::operators {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using OptionalTensor = std::optional<at::Tensor>;

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

// W ⊙ M with a straight-through gradient to W. It is a separate graph node, so that products which
// save its result are also differentiated with respect to W.
struct StraightThrough : torch::autograd::Function<StraightThrough> {
  static at::Tensor forward(AutogradContext*, const at::Tensor& weight, const at::Tensor& mask) {
    at::AutoDispatchBelowADInplaceOrView guard;
    return masked(weight, mask);
  }

  static variable_list backward(AutogradContext*, const variable_list& gradients) {
    return {gradients[0], at::Tensor()};
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

// The source of MVUE's random numbers.
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

// x [.., width] as [tokens, width]; there may be no tokens or a width of 0.
at::Tensor as_matrix(const at::Tensor& x) {
  c10::SymInt tokens = 1;
  for (int64_t i = 0; i + 1 < x.dim(); ++i) tokens *= x.sym_size(i);
  return x.reshape_symint({tokens, x.sym_size(-1)});
}

struct Linear24 : torch::autograd::Function<Linear24> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const OptionalTensor& bias, bool transposable, bool mvue,
                            const Draws& draws) {
    at::AutoDispatchBelowADInplaceOrView guard;
    static const auto op = dispatched("twofour::linear24", &linear24);
    context->save_for_backward({x, weight});
    context->saved_data["transposable"] = transposable;
    context->saved_data["mvue"] = mvue;
    context->saved_data["bias"] = bias.has_value() && bias->defined();
    draws.save(*context);
    return op.call(x, weight, bias, std::nullopt, transposable, mvue, draws.exact, draws.seed,
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
    const at::Tensor dz = as_matrix(gradients[0]);
    variable_list result(6);
    if (context->needs_input_grad(0)) {
      result[0] =
          input_gradient(dz, weight, data["transposable"].toBool()).reshape_symint(x.sym_sizes());
    }
    if (context->needs_input_grad(1)) {
      result[1] = weight_gradient(dz, as_matrix(x), data["mvue"].toBool(), Draws::saved(*context));
    }
    if (data["bias"].toBool() && context->needs_input_grad(2)) result[2] = dz.sum(0);
    return result;
  }
};

// Only the gradient of x: the weight belongs to its owner.
struct LinearPrepared : torch::autograd::Function<LinearPrepared> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                            const c10::intrusive_ptr<PreparedWeight>& weight,
                            const OptionalTensor& bias) {
    at::AutoDispatchBelowADInplaceOrView guard;
    static const auto op = dispatched("twofour::linear24_prepared", &linear24_prepared);
    context->save_for_backward({weight->dense()});
    context->saved_data["bias"] = bias.has_value() && bias->defined();
    return op.call(x, weight, bias);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const at::Tensor weight = context->get_saved_variables()[0], dz = as_matrix(gradients[0]);
    std::vector<c10::SymInt> sizes = gradients[0].sym_sizes().vec();
    sizes.back() = weight.sym_size(1);
    variable_list result(3);
    if (context->needs_input_grad(0)) result[0] = at::mm(dz, weight).reshape_symint(sizes);
    const bool has_bias = context->saved_data["bias"].toBool();
    if (has_bias && context->needs_input_grad(1)) result[2] = dz.sum(0);
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
  return Linear24::apply(x, mask ? StraightThrough::apply(weight, *mask) : weight, bias,
                         transposable, mvue, Draws{exact, seed, step, micro_batch, tensor});
}

at::Tensor differentiable_linear24_prepared(const at::Tensor& x,
                                            const c10::intrusive_ptr<PreparedWeight>& weight,
                                            const OptionalTensor& bias) {
  return LinearPrepared::apply(x, weight, bias);
}

}  // namespace

TORCH_LIBRARY_IMPL(twofour, Autograd, library) {
  library.impl("apply_mask", &differentiable_apply_mask);
  library.impl("soft_threshold24", &differentiable_soft_threshold24);
  library.impl("linear24", &differentiable_linear24);
  library.impl("linear24_prepared", &differentiable_linear24_prepared);
  for (const char* name :
       {"mvue24", "round_to_float8", "pack24", "unpack24", "input_gradient24", "weight_gradient24",
        "linear24_packed", "sparsegpt", "gram", "soft_mask_gradient", "add_prior"}) {
    library.impl(name, torch::autograd::autogradNotImplementedFallback());
  }
}

}  // namespace twofour::sparse::operators
