#include "twofour/train/sparse_weights.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "twofour/sparse/soft_threshold.h"

namespace twofour::train {

SparseWeights::SparseWeights(model::Gpt2& model, const Method& method, at::ScalarType compute_dtype,
                             uint64_t seed)
    : model_(model), method_(method), dtype_(compute_dtype), seed_(seed) {
  const auto forward_copy = [&](const at::Tensor& master) {
    return at::empty_like(master.detach(), master.options().dtype(dtype_).requires_grad(false));
  };
  const bool is_sparse_method = method_.forward_weight != ForwardWeight::kDense;
  const bool casts = dtype_ != at::kFloat;
  if (casts) {
    model_.forward_wte = forward_copy(model_.wte);
    model_.forward_wpe = forward_copy(model_.wpe);
  }
  model_.visit_linears([&](const std::string& name, model::Linear& linear) {
    const bool is_sparse = is_sparse_method && is_sparse_layer(name);
    if (casts || is_sparse) linear.forward_weight = forward_copy(linear.weight);
    if (casts) linear.forward_bias = forward_copy(linear.bias);
    if (!is_sparse) return;
    linear.weight_gradient = method_.weight_gradient;
    linear.weight24 =
        c10::make_intrusive<sparse::Weight24>(sparse::Along::kRows, /*in_training=*/true);
    linear.stream.tensor = static_cast<uint32_t>(layers_.size());
    linear.stream.seed = seed_;
    layers_.push_back({name, &linear, at::zeros({(linear.weight.numel() + 7) / 8}, at::kByte),
                       at::zeros({}, at::kDouble)});
  });
}

void SparseWeights::initialise() {
  const at::NoGradGuard no_gradients;
  for (Layer& layer : layers_) {
    layer.scale.fill_(sparse::soft_threshold_scale(layer.linear->weight));
    // Sets the first masks, so that the first refresh counts no flips.
    sparse::soft_threshold24(layer.linear->weight, layer.scale.item<double>(),
                             layer.linear->forward_weight, layer.mask);
  }
}

SparsityStatistics SparseWeights::refresh() {
  const at::NoGradGuard no_gradients;
  refresh_dense();
  int64_t flips = 0, zeros = 0, entries = 0;
  for (Layer& layer : layers_) {
    const sparse::SoftThresholdCounts counts = sparse::soft_threshold24(
        layer.linear->weight, layer.scale.item<double>(), layer.linear->forward_weight, layer.mask);
    layer.linear->weight24->changed();
    flips += counts.flips;
    zeros += counts.zeros;
    entries += layer.linear->weight.numel();
  }
  if (entries == 0) return {};
  return {static_cast<double>(flips) / static_cast<double>(entries),
          static_cast<double>(zeros) / static_cast<double>(entries)};
}

void SparseWeights::refresh_dense() {
  if (dtype_ == at::kFloat) return;
  model_.forward_wte.copy_(model_.wte);
  model_.forward_wpe.copy_(model_.wpe);
  model_.visit_linears([&](const std::string& name, model::Linear& linear) {
    linear.forward_bias.copy_(linear.bias);
    if (layers_.empty() || !is_sparse_layer(name)) linear.forward_weight.copy_(linear.weight);
  });
}

void SparseWeights::set_stream(int64_t step, int64_t micro_batch) {
  for (Layer& layer : layers_) {
    layer.linear->stream.step = static_cast<uint32_t>(step);
    layer.linear->stream.micro_batch = static_cast<uint32_t>(micro_batch);
  }
}

std::vector<std::pair<std::string, at::Tensor>> SparseWeights::state() const {
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (const Layer& layer : layers_) {
    tensors.emplace_back(layer.name + ".mask", layer.mask);
    tensors.emplace_back(layer.name + ".scale", layer.scale);
  }
  return tensors;
}

std::vector<std::pair<std::string, at::Tensor>> SparseWeights::masks() const {
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (const Layer& layer : layers_) tensors.emplace_back(layer.name, layer.mask);
  return tensors;
}

void SparseWeights::replace_masters() {
  const at::NoGradGuard no_gradients;
  for (Layer& layer : layers_) {
    at::Tensor sparse_weight = at::empty_like(layer.linear->weight.detach());
    sparse::soft_threshold24(layer.linear->weight, layer.scale.item<double>(), sparse_weight,
                             layer.mask);
    layer.linear->weight.copy_(sparse_weight);
  }
}

}  // namespace twofour::train
