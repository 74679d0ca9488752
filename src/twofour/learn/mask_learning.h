// What a mask-learning run trains: the logits of the masks of frozen weights.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "twofour/learn/options.h"
#include "twofour/sparse/soft_mask.h"
#include "twofour/train/sparse_weights.h"
#include "twofour/train/trained_model.h"

namespace twofour::learn {

/// The logits of weight NAME are the parameter NAME.logits, [out, in / M, candidates].
inline constexpr char kLogitsSuffix[] = ".logits";

class MaskLearning final : public train::TrainedModel {
 public:
  /// Loads the model and creates the logits, without values. `options` must outlive this. Throws
  /// Error as prune::plan_layers, ModelFolder and train::teacher_model do, and for given masks of
  /// the prior that lack a layer or are not N:M (layer and place named).
  explicit MaskLearning(const LearnOptions& options);

  model::Model& model() override { return *model_; }
  model::Model& evaluated() override { return *evaluated_; }
  const model::Model* teacher() const override { return teacher_ ? &*teacher_ : nullptr; }
  checkpoint::NamedTensors parameters() override;
  std::vector<train::ParameterGroup> groups(double weight_decay) const override;

  /// The logits are N(0, deviation²), and then the prior is added.
  void initialise() override;
  void prepare(int64_t step, int64_t updates, bool is_sparse) override;
  void begin_micro_batch(int64_t step, int64_t micro_batch, double gradient_scale) override;
  void complete_fingerprint(nlohmann::ordered_json& fingerprint) const override;
  train::StateFiles state() override;
  std::vector<train::Metric> record() override;
  /// The histograms of the largest probability by layer, and a corner of the first layer's mask.
  nlohmann::ordered_json observe() override;
  void summarise(train::TrainSummary& summary) const override;
  void save(const std::filesystem::path& folder, const std::filesystem::path& tokenizer) override;

  /// The likeliest masks, in the form of checkpoint/mask_files.h.
  checkpoint::NamedTensors masks() const;

 private:
  struct Layer {
    std::string name;
    model::Linear* linear;
    std::shared_ptr<sparse::SoftMask> mask;
    // The likeliest masks at the last record, and those of the prior: packed.
    at::Tensor recorded, prior;
  };
  void choose_layers();
  void check_prior(const checkpoint::NamedTensors& masks, const std::string& place) const;

  const LearnOptions& options_;
  std::string model_hash_;
  kernels::Candidates candidates_;
  std::optional<model::Model> model_, evaluated_, teacher_;
  std::vector<Layer> layers_;
  /// With trained weights: their copies in the compute dtype.
  std::optional<train::SparseWeights> weights_;
  struct Schedule {
    double kappa = 0, tau = 0, regularisation = 0;
  };
  Schedule prepared_, taken_;  // of the prepared step, and of the last one that was taken
};

}  // namespace twofour::learn
