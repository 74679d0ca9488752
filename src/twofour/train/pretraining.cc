#include "twofour/train/pretraining.h"

#include "twofour/checkpoint/model_folder.h"
#include "twofour/tensor/dtype.h"
#include "twofour/train/starting_point.h"
#include "twofour/train/trainer.h"

namespace twofour::train {

Pretraining::Pretraining(const TrainOptions& options)
    : options_(options),
      model_(initial_model(options)),
      teacher_(teacher_model(options.model, options.context())),
      weights_(model_, options.model.method, tensor::dtype_named(options.model.dtype),
               options.run.seed, given_masks(options, model_)) {}

checkpoint::NamedTensors Pretraining::parameters() {
  checkpoint::NamedTensors parameters;
  model_.visit([&](const std::string& name, at::Tensor& tensor) {
    tensor.requires_grad_();
    parameters.emplace_back(name, tensor);
  });
  return parameters;
}

bool Pretraining::freezes(const std::string& name) const {
  return options_.model.method.freeze == Freeze::kAll || weights_.has(name);
}

void Pretraining::prepare(int64_t /*step*/, int64_t updates, bool is_sparse) {
  weights_.prepare(updates, is_sparse);
}

void Pretraining::begin_micro_batch(int64_t step, int64_t micro_batch, double /*gradient_scale*/) {
  weights_.set_stream(step, micro_batch);
}

StateFiles Pretraining::state() {
  checkpoint::NamedTensors tensors;
  for (const auto& [name, tensor] : parameters()) tensors.emplace_back(name, tensor.detach());
  return {{"model.safetensors", tensors}, {"sparsity.safetensors", weights_.state()}};
}

std::vector<Metric> Pretraining::record() {
  std::vector<Metric> metrics = weights_.metrics();
  for (const auto& [layer, flips] : weights_.flip_rates()) {
    metrics.push_back(
        {.name = layer, .value = flips, .tag = "flip_rate/" + layer, .group = "flip_rates"});
  }
  return metrics;
}

void Pretraining::summarise(TrainSummary& summary) const {
  const SparsityStatistics sparsity = weights_.statistics();
  if (options_.model.method.has_masks()) summary.flip_rate = sparsity.flip_rate;
  if (options_.model.method.is_sparse()) summary.zeros = sparsity.zeros;
}

void Pretraining::save(const std::filesystem::path& folder,
                       const std::filesystem::path& tokenizer) {
  weights_.replace_masters();
  checkpoint::SaveOptions options;
  options.special = options_.model.special;
  options.masks = weights_.masks();
  options.tokenizer = tokenizer;
  checkpoint::save_model(folder, model_, options);
}

}  // namespace twofour::train
