#include "twofour/prune/block_pruner.h"

#include <utility>

#include <fmt/format.h>

#include <ATen/ops/isfinite.h>

#include "twofour/base/error.h"
#include "twofour/prune/permute.h"
#include "twofour/sparse/masks.h"

namespace twofour::prune {
namespace {

constexpr int64_t kPerBlock = 1000;  // units of the progress bar

// The parts of a block's time, roughly.
constexpr double kObserved = 0.4, kPruned = 0.7, kReconstructed = 0.8;

// The error of the last layer.
std::string error_detail(const BlockResult& result) {
  if (result.layers.empty() || !result.layers.back().error) return "";
  return fmt::format(" · error {:.4f}", *result.layers.back().error);
}

}  // namespace

BlockPruner::BlockPruner(const checkpoint::ModelFolder& folder, const PruneOptions& options,
                         const LayerPlan& plan, PrunedFolder& out, const at::Tensor& ids)
    : folder_(folder),
      options_(options),
      plan_(plan),
      out_(out),
      model_(folder.load_frame(options.dtype)),
      bar_("pruning", static_cast<uint64_t>((plan.last_block() + 1) * kPerBlock)) {
  const bool is_complete = out.blocks_done() > plan.last_block();
  if (ids.defined() && !is_complete) {
    states_ = std::make_unique<HiddenStates>(model_, ids, options, out.path());
  }
}

void BlockPruner::run() {
  const int64_t done = out_.blocks_done();
  for (int64_t i = 0; i <= plan_.last_block(); ++i) {
    out_.stop_if_asked();
    i < done ? pass_finished(i) : prune_block(i);
    if (i < done) bar_.start_at(static_cast<uint64_t>((i + 1) * kPerBlock));
  }
}

void BlockPruner::show(int64_t i, double share, const std::string& detail) {
  bar_.update(static_cast<uint64_t>((static_cast<double>(i) + share) * kPerBlock),
              fmt::format("block {} of {} · {}", i + 1, plan_.last_block() + 1, detail));
}

HiddenStates::Progress BlockPruner::progress(int64_t i, double from, double to,
                                             const std::string& detail) {
  return [=, this](double share) { show(i, from + (to - from) * share, detail); };
}

// Repeats the effect of an already pruned block on the hidden states.
void BlockPruner::pass_finished(int64_t i) {
  if (!states_) return;
  if (states_->dense() || !is_sequential()) {
    folder_.load_block(model_, i, options_.dtype);
    const auto first_half = progress(i, 0.0, 0.5, "again");
    states_->dense() ? states_->advance_dense(model_, i, first_half)
                     : states_->advance_inputs(model_, i, first_half);
  }
  if (is_sequential()) {
    out_.load_block(model_, i, options_.dtype);
    states_->advance_inputs(model_, i, progress(i, 0.5, 1.0, "again"));
  } else {
    states_->take_dense_outputs();
  }
  model::drop_block(model_, i);
}

void BlockPruner::prune_block(int64_t i) {
  folder_.load_block(model_, i, options_.dtype);
  check_finite(i);
  std::set<std::string> names;
  for (const auto& [name, pattern] : patterns(i)) names.insert(name);
  BlockInputs inputs(names, options_.sums);
  if (states_) observe(i, inputs);
  std::set<std::string> permuted;
  if (options_.permute) permuted = permute(i, inputs);
  std::map<std::string, MaskedWeight> weights;  // only those that are still to be trained
  BlockResult result;
  model_.visit_block_linears(i, [&](const std::string& name, model::Linear&) {
    if (!names.contains(name)) return;
    const auto done = static_cast<double>(result.layers.size());
    const double share = done / static_cast<double>(names.size());
    show(i, kObserved + (kPruned - kObserved) * share, name + error_detail(result));
    LayerWeights pruned = prune_layer(options_, name, patterns(i).at(name), dense_weight(name),
                                      states_ ? &inputs.gram(name) : nullptr);
    if (options_.reconstruct_passes == 0) inputs.drop(name);
    pruned.result.is_permuted = permuted.contains(name);
    result.layers.push_back(pruned.result);
    result.masks.emplace_back(name, sparse::packed_mask(pruned.mask));
    const MaskedWeight layer = {pruned.weight, pruned.mask};
    options_.reconstruct_passes > 0 ? void(weights[name] = layer) : write(name, layer);
  });
  if (options_.reconstruct_passes > 0) reconstruct(i, weights, inputs, result);
  write_others(i);
  if (states_ && !is_sequential()) states_->take_dense_outputs();
  if (states_ && is_sequential() && i < plan_.last_block()) {
    states_->advance_inputs(model_, i,
                            progress(i, kReconstructed, 1.0, "pruned" + error_detail(result)));
  }
  model::drop_block(model_, i);
  out_.finish_block(i, std::move(result));
}

// Norms and biases too, because they would spoil the inputs of other layers.
void BlockPruner::check_finite(int64_t i) {
  model_.visit_block(i, [&](const std::string& name, const at::Tensor& tensor) {
    if (at::isfinite(tensor).all().item<bool>()) return;
    fail("\"{}\" holds nan or infinity{}: make or download the model again", printable(name),
         options_.dtype == at::kHalf ? " in float16" : "");
  });
}

void BlockPruner::observe(int64_t i, BlockInputs& inputs) {
  const auto show_share = progress(i, 0, kObserved, "observing");
  for (size_t b = 0; b < states_->batches(); ++b) {
    show_share(static_cast<double>(b) / static_cast<double>(states_->batches()));
    const at::Tensor output =
        inputs.run(model_, i, states_->inputs().batch(b), states_->passes()[b]);
    if (!is_sequential()) states_->set_dense_output(b, output);
  }
  if (states_->dense() && is_sequential()) {
    states_->advance_dense(model_, i, progress(i, kObserved, kObserved, "observing"));
  }
}

// In master_ and model_. Returns the layers whose inputs have another order.
std::set<std::string> BlockPruner::permute(int64_t i, BlockInputs& inputs) {
  if (!master_) master_ = model::make_empty_frame(model_.config(), at::kFloat);
  folder_.load_block(*master_, i, at::kFloat);
  const auto pattern_of = [&](const std::string& name) -> std::optional<sparse::Pattern> {
    const auto found = patterns(i).find(name);
    if (found == patterns(i).end()) return std::nullopt;
    return found->second;
  };
  const auto scores_of = [&](const std::string& name, const at::Tensor& weight) {
    return layer_scores(options_, weight, states_ ? &inputs.gram(name) : nullptr, name);
  };
  std::set<std::string> names;
  for (const PermutedInputs& layer : permute_block(*master_, i, pattern_of, scores_of)) {
    if (states_) inputs.permute(layer.name, layer.inputs.order);
    names.insert(layer.name);
  }
  std::map<std::string, at::Tensor> tensors;
  master_->visit_block(
      i, [&](const std::string& name, at::Tensor& tensor) { tensors[name] = tensor; });
  model_.visit_block(
      i, [&](const std::string& name, at::Tensor& tensor) { tensor.copy_(tensors.at(name)); });
  return names;
}

at::Tensor BlockPruner::dense_weight(const std::string& name) {
  if (master_) return model::linear_named(*master_, name).weight.clone();
  const at::Tensor weight =
      folder_.stored(name).to(at::kFloat, /*non_blocking=*/false, /*copy=*/true);
  folder_.release(name);
  return weight.contiguous();
}

void BlockPruner::reconstruct(int64_t i, std::map<std::string, MaskedWeight>& weights,
                              BlockInputs& inputs, BlockResult& result) {
  if (weights.empty()) return;
  const auto steps =
      static_cast<double>(options_.reconstruct_passes) * static_cast<double>(states_->batches());
  const auto show_share = progress(i, kPruned, kReconstructed, "reconstructing");
  double done = 0;
  result.reconstruction =
      reconstruct_block(model_, i, states_->inputs(), *states_->dense(), states_->passes(),
                        options_.reconstruct_passes, options_.reconstruct_rate, weights,
                        [&] { show_share(++done / steps); });
  for (LayerResult& layer : result.layers) {
    const MaskedWeight& trained = weights.at(layer.name);
    write(layer.name, trained);
    layer.error =
        relative_error(dense_weight(layer.name), trained.weight, inputs.gram(layer.name).matrix());
    inputs.drop(layer.name);
  }
}

// To the folder, and to the model as it will be read.
void BlockPruner::write(const std::string& name, const MaskedWeight& layer) {
  const bool is_untouched = options_.weights == Weights::kUntouched;
  const at::Tensor stored =
      is_untouched ? layer.weight.mul(layer.mask) : out_.put(name, layer.weight);
  model::linear_named(model_, name).weight.copy_(stored);
}

// After a permutation any other tensor of the block may have a new order too.
void BlockPruner::write_others(int64_t i) {
  if (!master_) return;
  master_->visit_block(i, [&](const std::string& name, const at::Tensor& tensor) {
    if (!patterns(i).contains(name)) out_.put(name, tensor);
  });
  model::drop_block(*master_, i);
}

}  // namespace twofour::prune
