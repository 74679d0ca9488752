// AdamW (Loshchilov & Hutter, "Decoupled weight decay regularization", algorithm 2) with clipping
// of the gradient's norm over all parameters.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "twofour/train/phases.h"
#include "twofour/train/small_moments.h"

namespace twofour::train {

/// The update of a group's parameters.
struct ParameterGroup {
  /// A regular expression (ECMAScript), found in the names of the group's parameters.
  std::string pattern;
  int64_t least_dimensions = 0;  ///< of the group's parameters
  double learning_rate_factor = 1.0;
  double weight_decay = 0.0;
};

/// The groups for pre-training: decay on parameters with two or more dimensions.
std::vector<ParameterGroup> decay_on_matrices(double weight_decay);

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8;
  double clip = 1.0;  ///< 0 = none
  /// A parameter belongs to the first group that it matches, and must match one.
  std::vector<ParameterGroup> groups = decay_on_matrices(0.1);
  /// Smaller ones save memory and cost some noise: rounding is stochastic.
  Moments moments = Moments::kFloat32;
  uint64_t seed = 0;  ///< of that rounding
};

/// Updates parameters in float32 or bfloat16 in place from their float32 .grad(), which it clears
/// after a step. A parameter in bfloat16 is its own master: it is rounded stochastically.
class AdamW {
 public:
  /// `freezes`: whether freeze_second_moment() applies to the named parameter; empty = to all.
  /// Throws Error for a parameter without a group or of another dtype.
  AdamW(std::vector<std::pair<std::string, at::Tensor>> parameters, const AdamWOptions& options,
        const std::function<bool(const std::string& name)>& freezes = {});

  /// One update. The gradients are `loss_scale` times too large. Returns their true norm before
  /// clipping; if it is not finite, nothing is updated.
  ///
  /// `before_update(divisor)`, if set, is called between clipping and the update. AdamW's gradient
  /// is .grad() / divisor (unscaling and clipping in one), so terms for the clipped gradient must
  /// be multiplied by `divisor`.
  double step(double learning_rate, double loss_scale = 1.0,
              const std::function<void(double divisor)>& before_update = {});

  void clear_gradients();

  /// The change of the second moment in the next update; for use in `before_update`. Like
  /// freeze_second_moment, it needs float32 parameters and moments and else throws Error.
  SecondMomentChange second_moment_change(double divisor) const;

  /// Fixes the second moments that can freeze, bias correction included (STEP, arXiv 2302.01172,
  /// algorithm 1): w -= learning rate · m̂ / (sqrt(v̂*) + epsilon).
  void freeze_second_moment();
  bool has_frozen_second_moment() const { return frozen_at() >= 0; }

  /// The state that the next step depends on: "exp_avg.NAME", "exp_avg_sq.NAME", for moments of 8
  /// bits "exp_avg_scale.NAME" and "exp_avg_sq_scale.NAME", and "counters". The tensors share
  /// memory with the optimiser, so filling them restores it.
  std::vector<std::pair<std::string, at::Tensor>> state() const;

  /// The number of updates, without skipped ones.
  int64_t steps_taken() const;

 private:
  struct Group {
    std::vector<at::Tensor> parameters, gradients, exp_avg, exp_avg_sq, steps;
    std::vector<std::string> names;
    ParameterGroup rule;
    bool freezes = true;
  };
  struct SmallParameter {
    std::string name;
    at::Tensor parameter, gradient;
    SmallMoments moments;
    ParameterGroup rule;
    RandomStream stream;  // but for the step
  };
  int64_t frozen_at() const;
  double gradient_norm() const;
  void update(Group& group, double learning_rate, double divisor);
  void update_with_frozen_moment(Group& group, double learning_rate, double divisor);
  void update_small_parameters(double learning_rate, double divisor);
  void require_large(const char* what) const;

  AdamWOptions options_;
  std::vector<Group> groups_;  // those of the options; then copies for parameters that never freeze
  std::vector<SmallParameter> small_;  // those that are not in the groups
  at::Tensor counters_;                // int64: steps taken, and those before the freeze (-1: none)
};

}  // namespace twofour::train
