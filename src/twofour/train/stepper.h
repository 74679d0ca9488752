// A training step and all state that it changes.
#pragma once

#include <cstdint>
#include <span>

#include "twofour/tensor/ranks.h"
#include "twofour/text/batches.h"
#include "twofour/text/token_file.h"
#include "twofour/train/divergence.h"
#include "twofour/train/gradients.h"
#include "twofour/train/loss_scaler.h"
#include "twofour/train/optimizer.h"
#include "twofour/train/options.h"
#include "twofour/train/phases.h"
#include "twofour/train/run_state.h"
#include "twofour/train/trained_model.h"

namespace twofour::train {

struct StepResult {
  double loss = 0;           ///< mean over the step's tokens, nats
  double gradient_norm = 0;  ///< before clipping
  double learning_rate = 0;
  bool is_sparse = false;
  bool was_skipped = false;  ///< the scaled gradients overflowed, and only the scale changed
};

class Stepper {
 public:
  /// All arguments must outlive this. Each rank takes its share of a step's sequences, whose number
  /// is the options' times the number of ranks.
  Stepper(const TrainOptions& options, TrainedModel& trained, const text::TokenFile& data,
          tensor::Ranks& ranks);

  /// Call it after state() was filled from a checkpoint: applies options that changed since then.
  /// Throws Error (usage) for a change that the state does not allow.
  void take_over(const std::vector<Change>& changes);

  /// Makes the forward weights of `step`. Call it before a process's first step, after
  /// trained.initialise() or after state() was filled.
  void prepare(int64_t step);

  /// Trains on the batches of `step` (0, 1, …) and prepares the next one. Throws Error if the run
  /// diverges: the loss or the gradient is not finite, the loss scale is exhausted, or the norm
  /// explodes. The weights of the last step without such signs are then unchanged or in the last
  /// checkpoint.
  StepResult take(int64_t step);

  /// False if the gradient's norm is suspicious or the last step was skipped: a checkpoint from now
  /// may be unusable.
  bool is_worth_saving() const { return !divergence_.is_suspicious() && !was_skipped_; }

  /// All state that the next step depends on, as the files of a checkpoint.
  StateFiles state();

  double loss_scale() const { return scaler_.scale(); }

 private:
  bool is_sparse(int64_t step) const;
  double accumulate_gradients(int64_t step);
  at::Tensor loss_of(const at::Tensor& ids, std::span<const int64_t> targets, double scale) const;
  double mean_over_ranks(double value);
  double update(double learning_rate, SecondMomentChange* change);
  void check_divergence(int64_t step, const StepResult& result) const;

  const TrainOptions& options_;
  TrainedModel& trained_;
  text::Batches batches_;
  tensor::Ranks& ranks_;
  FlatGradients gradients_;
  AdamW optimizer_;
  Phases phases_;
  LossScaler scaler_;
  DivergenceWatch divergence_;
  bool was_skipped_ = false;
};

}  // namespace twofour::train
