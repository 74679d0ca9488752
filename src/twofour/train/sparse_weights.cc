#include "twofour/train/sparse_weights.h"

#include <algorithm>
#include <map>
#include <optional>

#include <fmt/format.h>

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "twofour/base/error.h"
#include "twofour/base/parts.h"
#include "twofour/sparse/masks.h"
#include "twofour/sparse/pattern.h"
#include "twofour/sparse/soft_threshold.h"
#include "twofour/tensor/accumulate.h"
#include "twofour/text/regex.h"

namespace twofour::train {

using sparse::MaskSearch;
using sparse::WeightGradient;

SparseWeights::SparseWeights(model::Model& model, const Method& method,
                             at::ScalarType compute_dtype, uint64_t seed,
                             const std::vector<std::pair<std::string, at::Tensor>>& given)
    : model_(model),
      method_(method),
      dtype_(compute_dtype),
      seed_(seed),
      searches_(at::zeros({3}, at::kLong)) {
  choose_layers(given);
  for (Layer& layer : layers_) set_up(layer);
  if (dtype_ == at::kFloat) return;
  const auto copy_of = [&](const at::Tensor& master) {
    return at::empty_like(master.detach(), master.options().dtype(dtype_).requires_grad(false));
  };
  model_.visit_tables([&](model::Table& table) { table.forward_weight = copy_of(table.weight); });
  model_.visit_linears([&](const std::string&, model::Linear& linear) {
    if (!linear.forward_weight.defined()) {
      linear.forward_weight = copy_of(linear.weight);
      others_.push_back(&linear);
    }
    if (linear.bias.defined()) linear.forward_bias = copy_of(linear.bias);
  });
}

void SparseWeights::choose_layers(const std::vector<std::pair<std::string, at::Tensor>>& given) {
  if (!method_.has_chosen_layers()) return;
  const std::map<std::string, at::Tensor> masks(given.begin(), given.end());
  const bool takes_all = method_.has_given_masks() && method_.layers == kFeedForwardLayers;
  const text::Regex pattern = text::regex_of_option("--sparse-layers", method_.layers);
  std::string example;
  model_.visit_linears([&](const std::string& name, model::Linear& linear) {
    example = name;
    if (!takes_all && !pattern.search(name, 0)) return;
    Layer layer{name, &linear, {}, {}, {}, {}, 0, {}};
    if (method_.has_given_masks()) {
      const auto mask = masks.find(name);
      if (mask == masks.end()) return;
      layer.mask = mask->second.clone();
    } else if (method_.has_masks()) {
      sparse::check_maskable(linear.weight, mask_search(), name);
    }
    layers_.push_back(layer);
  });
  if (layers_.empty() && method_.has_given_masks()) {
    fail_usage("no mask belongs to a layer that --sparse-layers \"{}\" matches",
               printable(method_.layers));
  }
  if (layers_.empty()) {
    fail_usage("--sparse-layers \"{}\" matches no layer: their weights are named as \"{}\"",
               printable(method_.layers), example);
  }
}

// Whether the 2:4 kernels can use the layer's given mask.
bool SparseWeights::keeps_two_of_four(const Layer& layer) {
  const at::Tensor& weight = layer.linear->weight;
  if (weight.size(1) % 4 != 0) return false;
  return sparse::is_24(sparse::unpacked_mask(layer.mask, weight.sizes()).to(at::kFloat));
}

void SparseWeights::set_up(Layer& layer) {
  model::Linear& linear = *layer.linear;
  linear.stream.tensor = static_cast<uint32_t>(&layer - layers_.data());
  linear.stream.seed = seed_;
  linear.weight_gradient = method_.weight_gradient;
  if (method_.precision == sparse::Precision::kFloat8) {
    linear.float8 = c10::make_intrusive<sparse::Float8Weight>();
  }
  if (method_.is_sparse() || dtype_ != at::kFloat) {
    const at::Tensor master = linear.weight.detach();
    layer.forward = at::empty_like(master, master.options().dtype(dtype_));
    linear.forward_weight = layer.forward;
  }
  if (!method_.has_masks()) return;
  if (!layer.mask.defined()) {
    layer.mask = at::zeros({(linear.weight.numel() + 7) / 8}, at::kByte);
  }
  layer.scale = at::zeros({}, at::kDouble);
  layer.flips = at::zeros({}, at::kLong);
  if (!method_.is_sparse() || (method_.has_given_masks() && !keeps_two_of_four(layer))) return;
  const bool is_transposable = mask_search() == MaskSearch::kTransposable;
  layer.weight24 = c10::make_intrusive<sparse::Weight24>(
      is_transposable ? sparse::Along::kBothSides : sparse::Along::kRows, /*in_training=*/true);
}

MaskSearch SparseWeights::mask_search() const {
  const bool is_transposable = method_.forward_weight == ForwardWeight::kTransposable ||
                               method_.watched_masks == WatchedMasks::kTransposable;
  return is_transposable ? MaskSearch::kTransposable : MaskSearch::kMagnitude;
}

bool SparseWeights::has(const std::string& name) const {
  return std::any_of(layers_.begin(), layers_.end(),
                     [&](const Layer& layer) { return layer.name == name; });
}

void SparseWeights::initialise() {
  const at::NoGradGuard no_gradients;
  if (!method_.has_masks() || method_.has_given_masks()) return;
  for (Layer& layer : layers_) {
    if (method_.forward_weight == ForwardWeight::kSoft) {
      layer.scale.fill_(sparse::soft_threshold_scale(layer.linear->weight));
    }
    search(layer);
    layer.flips.zero_();
  }
}

bool SparseWeights::is_search_due(int64_t updates, bool is_sparse) const {
  const int64_t last = searches_.const_data_ptr<int64_t>()[0];
  if (!method_.has_masks() || method_.has_given_masks()) return false;
  if (updates == last || method_.mask_interval == 0) return false;
  return updates % method_.mask_interval == 0 || (is_sparse && !is_sparse_now());
}

void SparseWeights::prepare(int64_t updates, bool is_sparse) {
  const at::NoGradGuard no_gradients;
  const bool is_due = is_search_due(updates, is_sparse);
  int64_t* searches = searches_.mutable_data_ptr<int64_t>();
  if (is_due) {
    searches[1] = searches[0];
    searches[0] = updates;
  }
  searches[2] = is_sparse;
  copy_masters();
  const PartTimer timer(Part::kRefresh);
  for (Layer& layer : layers_) make(layer, is_due);
}

void SparseWeights::copy_masters() {
  if (dtype_ == at::kFloat) return;
  const PartTimer timer(Part::kCast);
  model_.visit_tables([](model::Table& table) { table.forward_weight.copy_(table.weight); });
  model_.visit_linears([](const std::string&, model::Linear& linear) {
    if (linear.bias.defined()) linear.forward_bias.copy_(linear.bias);
  });
  for (model::Linear* linear : others_) linear->forward_weight.copy_(linear->weight);
}

void SparseWeights::search(Layer& layer) {
  layer.flips.fill_(sparse::search_mask(layer.linear->weight, mask_search(), layer.mask));
}

void SparseWeights::make(Layer& layer, bool is_search_due) {
  model::Linear& linear = *layer.linear;
  layer.zeros = 0;
  if (is_sparse_now()) {
    make_sparse(layer, layer.forward, is_search_due);
    linear.forward_weight = layer.forward;
  } else {
    if (is_search_due) search(layer);
    const bool is_copied = dtype_ != at::kFloat;
    if (is_copied) layer.forward.copy_(linear.weight);
    linear.forward_weight = is_copied ? layer.forward : at::Tensor();
  }
  // A dense phase of a sparse method is plain training in the compute dtype.
  const bool is_plain = method_.is_sparse() && !is_sparse_now();
  linear.weight_gradient = is_plain ? WeightGradient::kExact : method_.weight_gradient;
  linear.weight24 = is_sparse_now() ? layer.weight24 : nullptr;
  if (layer.weight24) layer.weight24->changed();
  if (linear.float8) linear.float8->changed();
}

void SparseWeights::make_sparse(Layer& layer, const at::Tensor& made, bool is_search_due) {
  at::Tensor out = made;
  const at::Tensor& weight = layer.linear->weight;
  switch (method_.forward_weight) {
    case ForwardWeight::kSoft: {
      const auto counts =
          sparse::soft_threshold24(weight, layer.scale.item<double>(), out, layer.mask);
      if (is_search_due) layer.flips.fill_(counts.flips);
      layer.zeros = counts.zeros;
      return;
    }
    case ForwardWeight::kMagnitude:
      if (is_search_due) {
        const auto counts = sparse::magnitude24(weight, out, layer.mask);
        layer.flips.fill_(counts.flips);
        layer.zeros = counts.zeros;
        return;
      }
      break;
    default:
      if (is_search_due) search(layer);
  }
  layer.zeros = sparse::masked_weight(weight, layer.mask, out);
}

void SparseWeights::decay_gradients(double divisor) {
  if (!is_sparse_now() || method_.decay == 0 || method_.decay_on != DecayOn::kGradient) return;
  for (Layer& layer : layers_) {
    sparse::add_masked_decay(layer.linear->weight, layer.mask, method_.decay * divisor,
                             tensor::gradient_of(layer.linear->weight));
  }
}

void SparseWeights::decay_weights(double learning_rate) {
  if (!is_sparse_now() || method_.decay == 0 || method_.decay_on != DecayOn::kWeight) return;
  const at::NoGradGuard no_gradients;
  for (Layer& layer : layers_) {
    at::Tensor weight = layer.linear->weight.detach();
    sparse::add_masked_decay(weight, layer.mask, -learning_rate * method_.decay, weight);
  }
}

void SparseWeights::set_stream(int64_t step, int64_t micro_batch) {
  for (Layer& layer : layers_) {
    layer.linear->stream.step = static_cast<uint32_t>(step);
    layer.linear->stream.micro_batch = static_cast<uint32_t>(micro_batch);
  }
}

bool SparseWeights::is_sparse_now() const { return searches_.const_data_ptr<int64_t>()[2] != 0; }

double SparseWeights::steps_between_searches() const {
  const int64_t* searches = searches_.const_data_ptr<int64_t>();
  return static_cast<double>(std::max<int64_t>(1, searches[0] - searches[1]));
}

SparsityStatistics SparseWeights::statistics() const {
  if (!method_.has_masks()) return {};
  int64_t flips = 0, zeros = 0, entries = 0;
  for (const Layer& layer : layers_) {
    flips += layer.flips.item<int64_t>();
    zeros += layer.zeros;
    entries += layer.linear->weight.numel();
  }
  const auto all = static_cast<double>(entries);
  return {static_cast<double>(flips) / steps_between_searches() / all,
          static_cast<double>(zeros) / all};
}

std::vector<Metric> SparseWeights::metrics() const {
  std::vector<Metric> metrics = {{"flip_rate", std::nullopt}, {"zeros", std::nullopt}};
  if (!method_.has_masks()) return metrics;
  const SparsityStatistics sparsity = statistics();
  metrics[0] = {"flip_rate", sparsity.flip_rate, "sparsity/flip_rate",
                fmt::format("flip rate {:.4f}", sparsity.flip_rate)};
  if (!method_.is_sparse()) return metrics;
  metrics[1] = {"zeros", sparsity.zeros, "sparsity/zeros",
                fmt::format("zeros {:.3f}", sparsity.zeros)};
  return metrics;
}

std::vector<std::pair<std::string, double>> SparseWeights::flip_rates() const {
  std::vector<std::pair<std::string, double>> rates;
  if (!method_.has_masks()) return rates;
  for (const Layer& layer : layers_) {
    const auto entries = static_cast<double>(layer.linear->weight.numel());
    const auto flips = static_cast<double>(layer.flips.item<int64_t>());
    rates.emplace_back(layer.name, flips / steps_between_searches() / entries);
  }
  return rates;
}

std::vector<std::pair<std::string, at::Tensor>> SparseWeights::state() const {
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  if (!method_.has_masks()) return tensors;
  for (const Layer& layer : layers_) {
    tensors.emplace_back(layer.name + ".mask", layer.mask);
    tensors.emplace_back(layer.name + ".scale", layer.scale);
    tensors.emplace_back(layer.name + ".flips", layer.flips);
  }
  tensors.emplace_back("searches", searches_);
  return tensors;
}

std::vector<std::pair<std::string, at::Tensor>> SparseWeights::masks() const {
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  if (!is_sparse_now()) return tensors;
  for (const Layer& layer : layers_) tensors.emplace_back(layer.name, layer.mask);
  return tensors;
}

void SparseWeights::replace_masters() {
  if (!is_sparse_now()) return;
  const at::NoGradGuard no_gradients;
  for (Layer& layer : layers_) {
    const at::Tensor sparse_weight = at::empty_like(layer.linear->weight.detach());
    make_sparse(layer, sparse_weight, /*is_search_due=*/false);
    layer.linear->weight.copy_(sparse_weight);
  }
}

}  // namespace twofour::train
