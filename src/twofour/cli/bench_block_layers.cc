#include "twofour/cli/bench_block_layers.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/zeros.h>

#include "twofour/cli/bench.h"
#include "twofour/kernels/masks/mask.h"
#include "twofour/sparse/accumulate.h"
#include "twofour/sparse/gelu.h"
#include "twofour/sparse/soft_threshold.h"

namespace twofour::cli {
namespace {

BlockLayer make_layer(BlockMethod method, int64_t out, int64_t in, bool has_bias,
                      at::ScalarType dtype, uint32_t index) {
  BlockLayer layer;
  sparse::Linear& linear = layer.linear;
  linear.weight = at::randn({out, in}).mul_(0.02).requires_grad_();
  sparse::gradient_of(linear.weight);
  if (has_bias) {
    linear.bias = at::zeros({out}).requires_grad_();
    sparse::gradient_of(linear.bias);
    linear.forward_bias = linear.bias.detach().to(dtype);
  }
  const at::TensorOptions bytes = at::TensorOptions().dtype(at::kByte);
  if (method != BlockMethod::kDense) {
    const bool is_fst = method == BlockMethod::kFst;
    linear.weight_gradient = sparse::WeightGradient::kMvue;
    linear.weight24 = c10::make_intrusive<sparse::Weight24>(
        is_fst ? sparse::Along::kBothSides : sparse::Along::kRows, /*in_training=*/true);
    linear.stream.tensor = index;
    layer.mask = is_fst ? at::empty({out, in}, bytes) : at::zeros({(out * in + 7) / 8}, bytes);
    if (!is_fst) layer.scale = sparse::soft_threshold_scale(linear.weight);
  }
  // In float32 the master itself is multiplied where it is dense.
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
      write_masked(linear.weight.detach(), layer.mask, linear.forward_weight);
    } else if (method == BlockMethod::kSSte) {
      sparse::soft_threshold24(linear.weight, layer.scale, linear.forward_weight, layer.mask);
    } else if (linear.forward_weight.defined()) {
      linear.forward_weight.copy_(linear.weight);
    }
    if (linear.weight24) linear.weight24->changed();
  }
}

void Block::search_masks() {
  for (BlockLayer& layer : layers) {
    const at::Tensor& weight = layer.linear.weight;
    kernels::transposable_mask24(weight.const_data_ptr<float>(), weight.size(0), weight.size(1),
                                 weight.stride(0), layer.mask.mutable_data_ptr<uint8_t>());
  }
}

at::Tensor Block::activate(const at::Tensor& first, const at::Tensor& up) const {
  if (activation == BlockActivation::kSwiglu) return at::silu(first).mul(up);
  return method == BlockMethod::kDense ? at::gelu(first, "tanh") : sparse::gelu(first);
}

at::Tensor Block::forward(const at::Tensor& x) const {
  const at::Tensor first = sparse::linear(x, layers[0].linear);
  const at::Tensor up =
      activation == BlockActivation::kSwiglu ? sparse::linear(x, layers[1].linear) : at::Tensor();
  return sparse::linear(activate(first, up), layers.back().linear);
}

}  // namespace twofour::cli
