#include "twofour/sparse/soft_mask.h"

#include <algorithm>

#include <ATen/ops/empty.h>
#include <ATen/ops/sum.h>
#include <torch/csrc/autograd/custom_function.h>

#include "twofour/base/error.h"
#include "twofour/sparse/linear24.h"
#include "twofour/sparse/masks.h"
#include "twofour/tensor/accumulate.h"
#include "twofour/tensor/kernel_types.h"

namespace twofour::sparse {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// Entries of dW̃ that exist at a time.
constexpr int64_t kGradientEntries = int64_t{1} << 22;

template <class Fn>
auto with_logits_type(const at::Tensor& logits, Fn&& fn) {
  if (logits.scalar_type() == at::kFloat) return fn(logits.const_data_ptr<float>());
  if (logits.scalar_type() == at::kBFloat16) {
    return fn(static_cast<const kernels::bfloat16*>(logits.const_data_ptr()));
  }
  fail("logits are float32 or bfloat16, not {}", c10::toString(logits.scalar_type()));
}

// Calls fn(logits, weight, null pointer to the result's type).
template <class Fn>
auto with_types(const at::Tensor& logits, const at::Tensor& weight, at::ScalarType result,
                Fn&& fn) {
  return with_logits_type(logits, [&](const auto* values) {
    return tensor::with_type(weight.scalar_type(), [&](auto* weight_type) {
      using W = tensor::Pointee<decltype(weight_type)>;
      return tensor::with_type(result, [&](auto* result_type) {
        return fn(values, static_cast<const W*>(weight.const_data_ptr()), result_type);
      });
    });
  });
}

void check_layer(const at::Tensor& weight, const SoftMask& mask) {
  const kernels::Candidates& candidates = mask.candidates;
  const int64_t groups = weight.numel() / candidates.group();
  if (weight.dim() == 2 && weight.size(1) % candidates.group() == 0 &&
      mask.logits.numel() == groups * candidates.count()) {
    return;
  }
  fail("{} logits do not fit a weight of {} entries with {} masks a group of {}",
       mask.logits.numel(), weight.numel(), candidates.count(), candidates.group());
}

// Memory for dW̃ of some rows, kept for the next layer.
at::Tensor scratch_gradient(int64_t rows, int64_t columns) {
  thread_local at::Tensor memory;
  if (!memory.defined() || memory.numel() < rows * columns) {
    memory = at::empty({std::max(rows * columns, kGradientEntries)}, at::kFloat);
  }
  return memory.narrow(0, 0, rows * columns).view({rows, columns});
}

// The mask and the options that the forward pass used.
struct Pass : torch::CustomClassHolder {
  std::shared_ptr<SoftMask> mask;
  kernels::SoftMaskOptions options;
};

// W̃ in x's dtype; sets the mask's squares.
at::Tensor masked_weight_of(const at::Tensor& weight, SoftMask& mask, const at::Tensor& x) {
  at::Tensor masked = at::empty(weight.sizes(), x.options().requires_grad(false));
  mask.squares = with_types(
      mask.logits, weight, x.scalar_type(), [&](const auto* logits, const auto* w, auto* type) {
        using T = tensor::Pointee<decltype(type)>;
        return kernels::soft_masked_weight(logits, w, weight.size(0), weight.size(1),
                                           mask.candidates, mask.options,
                                           static_cast<T*>(masked.mutable_data_ptr()));
      });
  return masked;
}

// Some rows of a layer in backward: `masked` is undefined if dx is not needed, `dweight` if the
// weight is frozen.
struct LayerRows {
  at::Tensor logits, weight, dlogits, dweight, masked;

  LayerRows rows(int64_t first, int64_t count) const {
    const auto part = [&](const at::Tensor& all) {
      return all.defined() ? all.narrow(0, first, count) : all;
    };
    return {part(logits), part(weight), part(dlogits), part(dweight), part(masked)};
  }
};

void add_gradients(const LayerRows& layer, const at::Tensor& dmasked, const SoftMask& mask,
                   const kernels::SoftMaskOptions& options, at::ScalarType dtype) {
  const auto floats = [](const at::Tensor& gradient) {
    return gradient.defined() ? gradient.mutable_data_ptr<float>() : nullptr;
  };
  with_types(
      layer.logits, layer.weight, dtype, [&](const auto* logits, const auto* w, auto* result) {
        if (layer.masked.defined()) {
          result = static_cast<decltype(result)>(layer.masked.mutable_data_ptr());
        }
        kernels::add_soft_mask_gradients(logits, w, dmasked.const_data_ptr<float>(),
                                         layer.weight.size(0), layer.weight.size(1),
                                         mask.candidates, options, mask.regularisation,
                                         floats(layer.dlogits), floats(layer.dweight), result);
      });
}

// The logits and the weight are arguments to record the graph; their gradients are added in place.
struct SoftMaskedLinear : torch::autograd::Function<SoftMaskedLinear> {
  static Variable forward(AutogradContext* context, const Variable& x, const Variable& logits,
                          const Variable& weight, const Linear& layer) {
    auto pass = c10::make_intrusive<Pass>();
    pass->mask = layer.soft_mask;
    pass->options = layer.soft_mask->options;
    context->save_for_backward({x, logits, weight, layer.bias});
    context->saved_data["pass"] = c10::IValue::make_capsule(pass);
    at::Tensor bias = layer.forward_bias.defined() ? layer.forward_bias : layer.bias;
    if (bias.defined()) bias = bias.detach().to(x.scalar_type());
    const at::Tensor masked = masked_weight_of(weight.detach(), *layer.soft_mask, x);
    return forward_product(x, masked, bias);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &logits = saved[1], &weight = saved[2], &bias = saved[3];
    const auto pass =
        c10::static_intrusive_pointer_cast<Pass>(context->saved_data["pass"].toCapsule());
    const at::Tensor dz = gradients[0].contiguous();
    if (bias.defined() && bias.requires_grad()) {
      tensor::add_to_gradient(bias, dz.sum(0, /*keepdim=*/false, at::kFloat));
    }
    LayerRows layer = {logits.detach().view({weight.size(0), -1}), weight.detach(), {}, {}, {}};
    layer.dlogits = tensor::gradient_of(logits).view({weight.size(0), -1});
    if (weight.requires_grad()) layer.dweight = tensor::gradient_of(weight);
    if (context->needs_input_grad(0)) layer.masked = at::empty(weight.sizes(), dz.options());
    add_gradients_by_rows(layer, dz, x, *pass);
    variable_list result(4);
    if (layer.masked.defined()) result[0] = input_gradient_product(dz, layer.masked);
    return result;
  }

  // dW̃ = dzᵀ x exists for some rows at a time.
  static void add_gradients_by_rows(const LayerRows& layer, const at::Tensor& dz,
                                    const at::Tensor& x, const Pass& pass) {
    const int64_t rows = layer.weight.size(0), columns = layer.weight.size(1);
    const int64_t most = std::clamp<int64_t>(kGradientEntries / columns, 1, rows);
    kernels::SoftMaskOptions options = pass.options;
    for (int64_t first = 0; first < rows; first += most) {
      const int64_t count = std::min(most, rows - first);
      at::Tensor dmasked = scratch_gradient(count, columns).zero_();
      add_weight_gradient_product(dz.narrow(1, first, count).contiguous(), x, dmasked);
      options.first_group = first * columns / pass.mask->candidates.group();
      if (options.gumbel) {
        options.gumbel = pass.options.gumbel + options.first_group * pass.mask->candidates.count();
      }
      add_gradients(layer.rows(first, count), dmasked, *pass.mask, options, dz.scalar_type());
    }
  }
};

}  // namespace

at::Tensor soft_masked_linear(const at::Tensor& x, const Linear& layer) {
  const SoftMask& mask = *layer.soft_mask;
  check_layer(layer.weight, mask);
  if (layer.mask_use == MaskUse::kLearn) {
    return SoftMaskedLinear::apply(x, mask.logits, layer.weight, layer);
  }
  Linear evaluated;
  evaluated.weight = layer.weight.detach();
  evaluated.forward_weight = best_masked_weight(evaluated.weight, mask).to(x.scalar_type());
  if (layer.bias.defined()) evaluated.bias = layer.bias.detach().to(x.scalar_type());
  return linear(x, evaluated);
}

at::Tensor best_masked_weight(const at::Tensor& weight, const SoftMask& soft_mask) {
  check_layer(weight, soft_mask);
  const at::Tensor values = weight.detach().contiguous(), logits = soft_mask.logits.detach();
  at::Tensor masked = at::empty(values.sizes(), values.options());
  with_types(
      logits, values, values.scalar_type(), [&](const auto* from, const auto* w, auto* type) {
        using T = tensor::Pointee<decltype(type)>;
        kernels::best_masked_weight(from, w, values.size(0), values.size(1), soft_mask.candidates,
                                    static_cast<T*>(masked.mutable_data_ptr()));
      });
  return masked;
}

at::Tensor best_mask(const SoftMask& soft_mask) {
  at::Tensor mask = at::empty({soft_mask.groups() * soft_mask.candidates.group()}, at::kByte);
  with_logits_type(soft_mask.logits.detach(), [&](const auto* logits) {
    kernels::best_mask(logits, soft_mask.groups(), soft_mask.candidates,
                       mask.mutable_data_ptr<uint8_t>());
  });
  return packed_mask(mask);
}

}  // namespace twofour::sparse
