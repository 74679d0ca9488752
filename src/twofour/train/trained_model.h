// What a run trains: a model, the parameters that the optimiser updates, and the model's forward
// weights, which follow from them. Pre-training (pretraining.h) and mask learning (learn/)
// implement it. The step, the checkpoints, the output and the stops are the same for both.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "twofour/checkpoint/safetensors.h"
#include "twofour/model/model.h"
#include "twofour/train/metrics.h"
#include "twofour/train/optimizer.h"
#include "twofour/train/run_state.h"

namespace twofour::train {

struct TrainSummary;

class TrainedModel {
 public:
  virtual ~TrainedModel() = default;

  /// The model of a training pass.
  virtual model::Model& model() = 0;
  /// The model of validation and samples: the one that save() would write.
  virtual model::Model& evaluated() { return model(); }
  /// The teacher for distillation; null: none.
  virtual const model::Model* teacher() const { return nullptr; }

  /// All parameters that are trained, in a fixed order. They require gradients.
  virtual checkpoint::NamedTensors parameters() = 0;
  virtual std::vector<ParameterGroup> groups(double weight_decay) const {
    return decay_on_matrices(weight_decay);
  }
  /// Whether the second moment of the named parameter freezes with a method that freezes it.
  virtual bool freezes(const std::string& /*name*/) const { return true; }

  /// Sets the parameters for the start of a run. A resumed one restores them through state().
  virtual void initialise() = 0;

  /// Prepares step `step`, after `updates` optimiser updates, as a sparse or a dense one. A
  /// repeated call has no effect, so a resumed run may begin with it.
  virtual void prepare(int64_t step, int64_t updates, bool is_sparse) = 0;

  /// Sets what a micro-batch needs: its random numbers, and for terms that are added to the loss,
  /// the factor of its gradient. `micro_batch` counts all micro-batches of a step.
  virtual void begin_micro_batch(int64_t step, int64_t micro_batch, double gradient_scale) = 0;

  /// Terms of the clipped gradient; for `divisor` see AdamW::step.
  virtual void decay_gradients(double /*divisor*/) {}
  /// Changes of the parameters after the update.
  virtual void decay_weights(double /*learning_rate*/) {}

  /// Adds what determines the values of every step, beyond the options of the run, and removes what
  /// does not.
  virtual void complete_fingerprint(nlohmann::ordered_json& /*fingerprint*/) const {}

  /// The parameters and all else that the next step depends on, as files of a checkpoint.
  virtual StateFiles state() = 0;

  /// The metrics of a record. "Since the last record" begins anew.
  virtual std::vector<Metric> record() = 0;

  /// More for the log, recorded at the start of a run and with each validation: the fields of an
  /// event "masks". Null: nothing.
  virtual nlohmann::ordered_json observe() { return {}; }

  /// Adds the figures of the end of a run.
  virtual void summarise(TrainSummary& summary) const = 0;

  /// Writes the trained model as a Hugging Face folder. Called once, after the last checkpoint,
  /// because it may replace the parameters.
  virtual void save(const std::filesystem::path& folder,
                    const std::filesystem::path& tokenizer) = 0;
};

}  // namespace twofour::train
