#include "twofour/sparse/linear24.h"

#include <map>
#include <tuple>

#include <ATen/ops/sum.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include "twofour/kernels/products/few_tokens/few24.h"
#include "twofour/sparse/mvue.h"
#include "twofour/sparse/product24.h"
#include "twofour/tensor/accumulate.h"
#include "twofour/tensor/choice.h"
#include "twofour/tensor/dense_product.h"
#include "twofour/tensor/onednn.h"

namespace twofour::sparse {
namespace {

using tensor::Candidate;
using tensor::Implementation;
using tensor::Product;
using tensor::ProductShape;
using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// The weight is an argument to record the graph; its gradient is added in place.
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
    if (layer.weight24) context->saved_data["weight24"] = c10::IValue::make_capsule(layer.weight24);
    if (layer.float8) context->saved_data["float8"] = c10::IValue::make_capsule(layer.float8);
    const at::Tensor b = bias.defined() ? bias.detach() : bias;
    if (layer.float8) {
      return forward_product_float8(x, used.detach(), b, *layer.float8, layer.weight24.get());
    }
    return forward_product(x, used.detach(), b, layer.weight24.get());
  }

  static RandomStream saved_stream(AutogradContext* context) {
    const auto number = [&](const char* name) { return context->saved_data[name].toInt(); };
    return {static_cast<uint64_t>(number("seed")), static_cast<uint32_t>(number("step")),
            static_cast<uint32_t>(number("micro_batch")), static_cast<uint32_t>(number("tensor"))};
  }

  template <class Holder>
  static c10::intrusive_ptr<Holder> saved_holder(AutogradContext* context, const char* name) {
    const auto found = context->saved_data.find(name);
    if (found == context->saved_data.end()) return {};
    return c10::static_intrusive_pointer_cast<Holder>(found->second.toCapsule());
  }

  static void add_weight_gradient(AutogradContext* context, const at::Tensor& dz,
                                  const at::Tensor& x, const at::Tensor& weight,
                                  Float8Weight* float8) {
    const bool is_estimated = context->saved_data["mvue"].toBool();
    const RandomStream stream = saved_stream(context);
    at::Tensor& gradient = tensor::gradient_of(weight);
    if (float8) {
      add_weight_gradient_float8(dz, x, is_estimated ? &stream : nullptr, gradient);
    } else if (is_estimated) {
      add_estimated_weight_gradient(dz, x, stream, gradient);
    } else {
      add_weight_gradient_product(dz, x, gradient);
    }
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &used = saved[1], &weight = saved[2], &bias = saved[3];
    const at::Tensor dz = gradients[0].contiguous();
    if (bias.defined() && bias.requires_grad()) {
      tensor::add_to_gradient(bias, dz.sum(0, /*keepdim=*/false, at::kFloat));
    }
    const auto weight24 = saved_holder<Weight24>(context, "weight24");
    const auto float8 = saved_holder<Float8Weight>(context, "float8");
    if (weight.requires_grad()) add_weight_gradient(context, dz, x, weight, float8.get());
    if (!context->needs_input_grad(0)) return {at::Tensor(), at::Tensor(), at::Tensor()};
    at::Tensor dx = float8 ? input_gradient_product_float8(dz, used, *float8, weight24.get())
                           : input_gradient_product(dz, used, weight24.get());
    return {dx, at::Tensor(), at::Tensor()};
  }
};

ProductShape product_shape_of(Product product, int64_t tokens, const at::Tensor& weight,
                              at::ScalarType dtype) {
  return {product, tokens, weight.size(1), weight.size(0), dtype};
}

ProductShape product_shape_of(Product product, int64_t tokens, const at::Tensor& weight,
                              const Weight24& weight24) {
  ProductShape shape = product_shape_of(product, tokens, weight, weight.scalar_type());
  shape.in_training = weight24.in_training();
  return shape;
}

// The functions that choose() times. Each run prepares W̃, and checks it, if a product does so.
template <class Run>
std::vector<Candidate> candidates_of(const std::vector<Implementation>& can, const Run& run,
                                     Weight24& weight24, const at::Tensor& weight) {
  std::vector<Candidate> candidates;
  for (const Implementation each : can) {
    candidates.push_back({each, [&run, &weight24, &weight, each] {
                            if (weight24.in_training()) weight24.changed();
                            run(each);
                            if (weight24.is_for_one_product()) weight24.check(weight);
                          }});
  }
  return candidates;
}

// Estimates of the same shape recur, in each layer and step, so their memory is kept.
kernels::Panel24& scratch_panel(at::ScalarType dtype, int64_t rows, int64_t columns) {
  constexpr size_t kMost = 4;  // shapes
  using Key = std::tuple<kernels::PanelKind, int64_t, int64_t>;
  thread_local std::map<Key, kernels::Panel24> panels;
  const Key key = {panel_kind(dtype), rows, columns};
  const auto found = panels.find(key);
  if (found != panels.end()) return found->second;
  if (panels.size() >= kMost) panels.clear();
  return panels.emplace(key, empty_panel(dtype, rows, columns)).first->second;
}

at::Tensor packed_product(const at::Tensor& x, const Linear& layer) {
  if (x.size(0) <= kernels::kFewTokens) return multiply_few(layer.packed, x, layer.bias);
  return forward_product(x, unpack24(layer.packed), layer.bias);
}

}  // namespace

at::Tensor linear(const at::Tensor& x, const Linear& layer) {
  if (layer.packed.values.defined()) return packed_product(x, layer);
  if (layer.soft_mask) return soft_masked_linear(x, layer);
  return LinearFunction::apply(x, layer.weight, layer);
}

bool packed_pays(const Linear& layer) {
  const at::Tensor& weight = layer.weight;
  Packed packed;
  at::Tensor x;
  const auto candidates = [&]() -> std::vector<Candidate> {
    pack24(weight, packed);
    x = at::zeros({1, weight.size(1)}, weight.options());
    return {{Implementation::kDense, [&] { multiply_few_dense(weight, x, layer.bias); }},
            {Implementation::kFew, [&] { multiply_few(packed, x, layer.bias); }}};
  };
  return !tensor::is_dense(tensor::choose(
      product_shape_of(Product::kForward, 1, weight, weight.scalar_type()), candidates));
}

void keep_packed(Linear& layer) {
  pack24(layer.weight, layer.packed);
  layer.weight = at::Tensor();
  layer.weight24 = {};
}

at::Tensor forward_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                           Weight24* weight24) {
  if (!weight24 || !x.is_cpu()) return tensor::fastest_dense_product(x, weight, bias);
  const int64_t tokens = x.size(0);
  const auto run = [&](Implementation implementation) {
    switch (implementation) {
      case Implementation::kOneDnn:
        return tensor::onednn_linear(x, weight24->ordered(weight, tokens), bias);
      case Implementation::kPanel:
        return multiply_transposed(weight24->panel(weight), x, bias);
      case Implementation::kFew:
        if (weight24->is_for_one_product()) {
          at::Tensor z = multiply_few(weight, x, bias);
          weight24->set_checked();
          return z;
        }
        return multiply_few(weight24->packed(weight), x, bias);
      default:
        return tensor::dense_product(implementation, x, weight, bias);
    }
  };
  std::vector<Implementation> can = tensor::dense_implementations(x.scalar_type());
  if (tokens <= kernels::kFewTokens) can.push_back(Implementation::kFew);
  can.push_back(Implementation::kPanel);
  const auto shape = product_shape_of(Product::kForward, tokens, weight, *weight24);
  return run(tensor::choose(shape, [&] { return candidates_of(can, run, *weight24, weight); }));
}

Product input_gradient_choice(const at::Tensor& weight, const Weight24& weight24) {
  return weight24.has_transposed(weight) ? Product::kInputGradient : Product::kDenseInputGradient;
}

at::Tensor input_gradient_product(const at::Tensor& dz, const at::Tensor& weight,
                                  Weight24* weight24) {
  if (!weight24 || !dz.is_cpu()) return tensor::fastest_dense_input_gradient(dz, weight);
  const int64_t tokens = dz.size(0);
  const auto run = [&](Implementation implementation) {
    switch (implementation) {
      case Implementation::kOneDnn:
        return tensor::onednn_linear(dz, weight24->ordered_transposed(weight, tokens), {});
      case Implementation::kPanel:
        return multiply_transposed(weight24->transposed_panel(weight), dz, {});
      default:
        return tensor::dense_input_gradient(implementation, dz, weight);
    }
  };
  const Product product = input_gradient_choice(weight, *weight24);
  std::vector<Implementation> can = tensor::dense_implementations(dz.scalar_type());
  if (product == Product::kInputGradient) can.push_back(Implementation::kPanel);
  const auto shape = product_shape_of(product, tokens, weight, *weight24);
  return run(tensor::choose(shape, [&] { return candidates_of(can, run, *weight24, weight); }));
}

void add_weight_gradient_product(const at::Tensor& dz, const at::Tensor& x, at::Tensor& gradient) {
  tensor::add_fastest_dense_weight_gradient(dz, x, gradient);
}

void add_estimated_weight_gradient(const at::Tensor& dz, const at::Tensor& x,
                                   const RandomStream& stream, at::Tensor& gradient) {
  const auto run = [&](Implementation implementation, at::Tensor& sum) {
    if (implementation == Implementation::kPanel) {
      kernels::Panel24& estimate = scratch_panel(dz.scalar_type(), dz.size(1), dz.size(0));
      fill_panel_mvue(dz, stream, estimate);
      multiply_add(estimate, x, sum);
      return;
    }
    const at::Tensor estimate = mvue24(dz, stream);
    if (implementation == Implementation::kFew) {
      tensor::accumulate_outer(estimate, x, sum);
    } else {
      tensor::add_dense_weight_gradient(implementation, estimate, x, sum);
    }
  };
  if (!dz.is_cpu()) return run(Implementation::kDense, gradient);
  at::Tensor scratch;  // measuring must not add to the gradient
  const auto candidates = [&] {
    scratch = at::zeros_like(gradient);
    std::vector<Candidate> all;
    const auto add = [&](Implementation each) {
      all.push_back({each, [&, each] { run(each, scratch); }});
    };
    for (const Implementation each : tensor::dense_implementations(x.scalar_type())) add(each);
    if (x.size(0) <= kernels::kFewTokens) add(Implementation::kFew);
    add(Implementation::kPanel);
    return all;
  };
  const auto shape =
      product_shape_of(Product::kWeightGradient, x.size(0), gradient, dz.scalar_type());
  run(tensor::choose(shape, candidates), gradient);
}

}  // namespace twofour::sparse
