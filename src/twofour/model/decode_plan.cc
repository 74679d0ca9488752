#include "twofour/model/decode_plan.h"

#include <algorithm>

namespace twofour::model {
namespace {

/// Calls fn for every linear layer.
template <class Plan, class Fn>
void for_each_linear(Plan& plan, const Fn& fn) {
  for (auto& block : plan.blocks) {
    for (auto& linear : block.attention_in) fn(linear);
    fn(block.attention_out);
    for (auto& linear : block.feed_forward_in) fn(linear);
    fn(block.feed_forward_out);
  }
}

bool is_of(const at::Tensor& tensor, at::ScalarType dtype) {
  return tensor.defined() && tensor.is_cpu() && tensor.scalar_type() == dtype;
}

void make_float(at::Tensor& tensor) {
  if (tensor.defined()) tensor = tensor.to(at::kFloat).contiguous();
}

void make_contiguous(at::Tensor& tensor) {
  if (tensor.defined()) tensor = tensor.contiguous();
}

}  // namespace

DecodePlan plan_for(const Sizes& sizes) {
  DecodePlan plan;
  plan.context = sizes.context;
  plan.heads = sizes.heads;
  plan.key_value_heads = sizes.key_value_heads;
  plan.head_width = sizes.head_width;
  plan.feed_forward = sizes.feed_forward;
  return plan;
}

DecodeLinear decode_linear(const sparse::Linear& layer) {
  if (layer.float8) return {};
  const at::Tensor& weight = layer.forward_weight.defined() ? layer.forward_weight : layer.weight;
  const at::Tensor& bias = layer.forward_bias.defined() ? layer.forward_bias : layer.bias;
  return {layer.packed.values.defined() ? at::Tensor() : weight, layer.packed, bias};
}

bool DecodePlan::is_runnable() const {
  if (!tokens.defined()) return false;
  const at::ScalarType dtype = tokens.scalar_type();
  bool fits = dtype == at::kFloat || dtype == at::kBFloat16 || dtype == at::kHalf;
  fits = fits && is_of(tokens, dtype) && is_of(output, dtype);
  fits = fits && (!positions.defined() || is_of(positions, dtype));
  for_each_linear(*this, [&](const DecodeLinear& linear) {
    fits = fits && is_of(linear.values(), dtype) &&
           (!linear.bias.defined() || is_of(linear.bias, dtype));
  });
  return fits;
}

void prepare(DecodePlan& plan) {
  for (DecodeBlock& block : plan.blocks) {
    for (DecodeNorm* norm : {&block.attention_norm, &block.feed_forward_norm}) {
      make_float(norm->weight);
      make_float(norm->bias);
    }
    make_float(block.query_norm);
    make_float(block.key_norm);
  }
  make_float(plan.last_norm.weight);
  make_float(plan.last_norm.bias);
  for_each_linear(plan, [](DecodeLinear& linear) {
    make_contiguous(linear.weight);
    make_contiguous(linear.bias);
  });
  for (at::Tensor* table : {&plan.tokens, &plan.positions, &plan.output}) make_contiguous(*table);
}

}  // namespace twofour::model
