// Pre-training: every parameter of the model is trained, with a method of methods.h.
#pragma once

#include <optional>

#include "twofour/train/options.h"
#include "twofour/train/sparse_weights.h"
#include "twofour/train/trained_model.h"

namespace twofour::train {

class Pretraining final : public TrainedModel {
 public:
  /// `options` must outlive this. Throws Error as initial_model, teacher_model, given_masks and
  /// SparseWeights do.
  explicit Pretraining(const TrainOptions& options);

  model::Model& model() override { return model_; }
  const model::Model* teacher() const override { return teacher_ ? &*teacher_ : nullptr; }
  checkpoint::NamedTensors parameters() override;
  /// With Freeze::kMasked, those with a mask.
  bool freezes(const std::string& name) const override;
  void initialise() override { weights_.initialise(); }
  void prepare(int64_t step, int64_t updates, bool is_sparse) override;
  void begin_micro_batch(int64_t step, int64_t micro_batch, double gradient_scale) override;
  void decay_gradients(double divisor) override { weights_.decay_gradients(divisor); }
  void decay_weights(double learning_rate) override { weights_.decay_weights(learning_rate); }
  StateFiles state() override;
  std::vector<Metric> record() override;
  void summarise(TrainSummary& summary) const override;
  void save(const std::filesystem::path& folder, const std::filesystem::path& tokenizer) override;

  const SparseWeights& weights() const { return weights_; }

 private:
  const TrainOptions& options_;
  model::Model model_;
  std::optional<model::Model> teacher_;
  SparseWeights weights_;
};

}  // namespace twofour::train
