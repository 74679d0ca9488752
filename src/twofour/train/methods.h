// The pre-training methods as combinations of axes: a preset is one row of values, and every value
// can be set by itself.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <c10/core/ScalarType.h>

#include "twofour/sparse/linear24.h"

namespace twofour::train {

/// W̃, the weight that a chosen layer's products use in the sparse phase.
enum class ForwardWeight {
  kDense,         ///< W
  kMagnitude,     ///< W ⊙ M, M the magnitude 2:4 mask
  kTransposable,  ///< W ⊙ M, M 2:4 along rows and columns (FST, arXiv 2404.01847, section 4.1)
  kSoft,          ///< β S(W): soft threshold 2:4 with a frozen scale (S-STE, arXiv 2409.09099, 4)
  kFixed,         ///< W ⊙ M with a given M of any pattern, which stays
};

/// Masks that a run with dense forward weights watches, for their flip rate only.
enum class WatchedMasks { kNone, kMagnitude, kTransposable };

/// Where the decay of pruned weights acts (FST, section 4.2, compares both).
enum class DecayOn {
  kGradient,  ///< dW += λ (1 - M) ⊙ W, after unscaling and clipping, before AdamW
  kWeight,    ///< W -= learning rate · λ (1 - M) ⊙ W, after AdamW
};

/// What ends the dense start.
enum class SwitchRule {
  kFixed,       ///< its length, `dense_start`
  kArithmetic,  ///< AutoSwitch of STEP (arXiv 2302.01172, section 5), arithmetic mean
  kGeometric,   ///< the same with the geometric mean
};

/// Whether AdamW's second moment goes on after the dense start.
enum class SecondMoment { kAdapt, kFreeze };

/// Which weights' second moments a freeze concerns: a weight that is never masked keeps a gradient
/// whose moment means what it meant before, so that the freeze has no use there.
enum class Freeze { kMasked, kAll };

/// The weights of the feed-forward layers, in every architecture.
inline constexpr char kFeedForwardLayers[] = "[.](mlp|fc[12])[.]";

struct Method {
  std::string name = "dense";
  std::string summary;

  ForwardWeight forward_weight = ForwardWeight::kDense;
  sparse::WeightGradient weight_gradient = sparse::WeightGradient::kExact;
  sparse::Precision precision = sparse::Precision::kNative;
  double feed_forward_share = 1.0;  ///< of 4 · width
  /// λ on pruned weights, in the sparse phase.
  double decay = 0.0;
  DecayOn decay_on = DecayOn::kGradient;
  /// Optimiser steps from one search of the masks to the next; 0 = one search before the first step
  /// holds for the run. Values of W̃ are made anew in every step.
  int64_t mask_interval = 1;
  /// Dense steps at the start and at the end: below 1 a share of all steps, else their number.
  double dense_start = 0.0, dense_end = 0.0;
  SwitchRule switch_rule = SwitchRule::kFixed;
  /// AutoSwitch: the mean change of the second moment below which the sparse phase begins, not
  /// before and not after these shares of the steps.
  double switch_threshold = 1e-8, switch_earliest = 0.1, switch_latest = 0.5;
  /// Of AdamW's second moment, which averages over 1 / (1 - β2) steps. What is frozen must average
  /// over many: STEP's paper has 0.999.
  double beta2 = 0.95;
  SecondMoment second_moment = SecondMoment::kAdapt;
  Freeze freeze = Freeze::kMasked;
  WatchedMasks watched_masks = WatchedMasks::kNone;
  /// A regular expression (ECMAScript) that the names of the chosen layers' weights contain.
  std::string layers = kFeedForwardLayers;

  bool is_sparse() const { return forward_weight != ForwardWeight::kDense; }
  bool has_given_masks() const { return forward_weight == ForwardWeight::kFixed; }
  bool has_auto_switch() const { return switch_rule != SwitchRule::kFixed; }
  bool has_masks() const { return is_sparse() || watched_masks != WatchedMasks::kNone; }
  /// Whether any layer is treated differently from the others, so that `layers` says something.
  bool has_chosen_layers() const {
    return has_masks() || precision != sparse::Precision::kNative ||
           weight_gradient != sparse::WeightGradient::kExact;
  }
};

/// The presets: dense, half, ste, sr-ste, step, fst, s-ste.
const std::vector<Method>& methods();

/// Throws Error (usage) that lists the known names.
const Method& method_named(std::string_view name);

/// One value of a method that a flag, a config file or a recipe can set.
struct Axis {
  std::string name;  ///< of the flag, without the dashes
  std::string help;
  std::function<std::string(const Method&)> get;
  std::function<void(Method&, const std::string&)> set;  ///< throws Error (usage) for a bad value
  std::vector<std::string> choices = {};  ///< the values that it takes, where they have names
  std::string range = {};                 ///< in words, of a number
  /// Not part of what makes the method: a config's own value outlives another method's name.
  bool goes_with_every_method = false;
};
const std::vector<Axis>& axes();

/// Throws Error (usage), with the reason, for a combination that makes no sense.
void check_method(const Method& method, int64_t steps, c10::ScalarType dtype);

/// The number of dense steps that `share_or_steps` means.
int64_t dense_steps(double share_or_steps, int64_t steps);

}  // namespace twofour::train
