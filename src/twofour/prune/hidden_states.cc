#include "twofour/prune/hidden_states.h"

#include <algorithm>

namespace twofour::prune {
namespace {

constexpr int64_t kTokensAtATime = 2048;

}  // namespace

HiddenStates::HiddenStates(const model::Model& model, const at::Tensor& ids,
                           const PruneOptions& options, const std::filesystem::path& folder) {
  const int64_t samples = std::max<int64_t>(1, kTokensAtATime / ids.size(1));
  const std::vector<at::Tensor> batches = ids.split(samples);
  std::vector<int64_t> rows;
  for (const at::Tensor& batch : batches) rows.push_back(batch.numel());
  const bool has_targets = options.reconstruct_passes > 0;
  const auto make = [&] {
    return std::make_unique<Activations>(rows, model.sizes().width, options.dtype,
                                         options.most_bytes / (has_targets ? 2 : 1), folder);
  };
  inputs_ = make();
  if (has_targets) dense_ = make();
  for (size_t b = 0; b < batches.size(); ++b) {
    passes_.push_back(model::start(model, batches[b]));
    inputs_->set(b, model::embed(model, batches[b], passes_[b]));
    if (dense_) dense_->set(b, inputs_->batch(b));
  }
}

void HiddenStates::advance(Activations& states, const model::Model& model, int64_t i,
                           const Progress& progress) {
  for (size_t b = 0; b < batches(); ++b) {
    progress(static_cast<double>(b) / static_cast<double>(batches()));
    states.set(b, model::run_block(model, i, states.batch(b), passes_[b]));
  }
}

void HiddenStates::advance_inputs(const model::Model& model, int64_t i, const Progress& progress) {
  advance(*inputs_, model, i, progress);
}

void HiddenStates::advance_dense(const model::Model& model, int64_t i, const Progress& progress) {
  advance(*dense_, model, i, progress);
}

void HiddenStates::set_dense_output(size_t batch, const at::Tensor& output) {
  (dense_ ? *dense_ : *inputs_).set(batch, output);
}

void HiddenStates::take_dense_outputs() {
  if (!dense_) return;  // they are there already
  for (size_t b = 0; b < batches(); ++b) inputs_->set(b, dense_->batch(b));
}

}  // namespace twofour::prune
