#include "twofour/cli/bench/block_layers.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/zeros.h>

#include "twofour/cli/bench/bench.h"
#include "twofour/kernels/masks/mask.h"
#include "twofour/sparse/masks.h"
#include "twofour/sparse/soft_threshold.h"
#include "twofour/tensor/accumulate.h"
#include "twofour/tensor/gelu.h"
#include "twofour/train/methods.h"

namespace twofour::cli {
namespace {

BlockLayer make_layer(BlockMethod method, int64_t out, int64_t in, bool has_bias,
                      at::ScalarType dtype, uint32_t index) {
  BlockLayer layer;
  sparse::Linear& linear = layer.linear;
  linear.weight = at::randn({out, in}).mul_(0.02).requires_grad_();
  tensor::gradient_of(linear.weight);
  if (has_bias) {
    linear.bias = at::zeros({out}).requires_grad_();
    tensor::gradient_of(linear.bias);
    if (dtype != at::kFloat) linear.forward_bias = linear.bias.detach().to(dtype);
  }
  if (method != BlockMethod::kDense) {
    const bool is_fst = method == BlockMethod::kFst;
    linear.weight_gradient = sparse::WeightGradient::kMvue;
    linear.weight24 = c10::make_intrusive<sparse::Weight24>(
        is_fst ? sparse::Along::kBothSides : sparse::Along::kRows, /*in_training=*/true);
    linear.stream.tensor = index;
    layer.mask = at::zeros({(out * in + 7) / 8}, at::TensorOptions().dtype(at::kByte));
    if (!is_fst) layer.scale = sparse::soft_threshold_scale(linear.weight);
  }
  // A dense float32 layer multiplies the master itself.
  if (method != BlockMethod::kDense || dtype != at::kFloat) {
    linear.forward_weight = at::empty({out, in}, at::TensorOptions().dtype(dtype));
  }
  return layer;
}

}  // namespace

Block::Block(BlockMethod method, BlockActivation activation, int64_t width, int64_t feed_forward,
             at::ScalarType dtype)
    : method(method), activation(activation) {
  const bool is_gelu = activation == BlockActivation::kGelu;
  const auto add = [&](int64_t out, int64_t in) {
    layers.push_back(
        make_layer(method, out, in, is_gelu, dtype, static_cast<uint32_t>(layers.size())));
  };
  if (!is_gelu) add(feed_forward, width);
  add(feed_forward, width);
  add(width, feed_forward);
  if (method == BlockMethod::kFst) search_masks();
  refresh();
}

void Block::refresh() {
  const at::NoGradGuard no_gradients;
  for (BlockLayer& layer : layers) {
    sparse::Linear& linear = layer.linear;
    if (method == BlockMethod::kFst) {
      sparse::masked_weight(linear.weight, layer.mask, linear.forward_weight);
    } else if (method == BlockMethod::kSSte) {
      sparse::soft_threshold24(linear.weight, layer.scale, linear.forward_weight, layer.mask);
    } else if (linear.forward_weight.defined()) {
      linear.forward_weight.copy_(linear.weight);
    }
    if (linear.forward_bias.defined()) linear.forward_bias.copy_(linear.bias);
    if (linear.weight24) linear.weight24->changed();
  }
}

void Block::search_masks() {
  for (BlockLayer& layer : layers) {
    sparse::search_mask(layer.linear.weight, sparse::MaskSearch::kTransposable, layer.mask);
  }
}

void Block::decay_gradients() {
  static const double kDecay = train::method_named("fst").decay;
  for (BlockLayer& layer : layers) {
    const at::Tensor& weight = layer.linear.weight;
    sparse::add_masked_decay(weight, layer.mask, kDecay, tensor::gradient_of(weight));
  }
}

at::Tensor Block::activate(const at::Tensor& first, const at::Tensor& up) const {
  if (activation == BlockActivation::kSwiglu) return at::silu(first).mul(up);
  return tensor::gelu(first);
}

at::Tensor Block::forward(const at::Tensor& x) const {
  const at::Tensor first = sparse::linear(x, layers[0].linear);
  const at::Tensor up =
      activation == BlockActivation::kSwiglu ? sparse::linear(x, layers[1].linear) : at::Tensor();
  return sparse::linear(activate(first, up), layers.back().linear);
}

}  // namespace twofour::cli
