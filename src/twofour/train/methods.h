// The pre-training methods as combinations of axes. A preset is a row of values, and each value can
// be set separately.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <c10/core/ScalarType.h>

#include "twofour/sparse/linear24.h"

namespace twofour::train {

/// W̃, the weight in the products of a chosen layer in the sparse phase.
enum class ForwardWeight {
  kDense,         ///< W
  kMagnitude,     ///< W ⊙ M, M the magnitude 2:4 mask
  kTransposable,  ///< W ⊙ M, M 2:4 along rows and columns (FST, arXiv 2404.01847, section 4.1)
  kSoft,          ///< β S(W): soft threshold 2:4 with a frozen scale (S-STE, arXiv 2409.09099, 4)
  kFixed,         ///< W ⊙ M with a given M of any pattern, which is constant
};

/// Masks that a run with dense forward weights watches for their flip rate only.
enum class WatchedMasks { kNone, kMagnitude, kTransposable };

/// Where the decay of pruned weights is applied (FST, section 4.2, compares both).
enum class DecayOn {
  kGradient,  ///< dW += λ (1 - M) ⊙ W, after unscaling and clipping, before AdamW
  kWeight,    ///< W -= learning rate · λ (1 - M) ⊙ W, after AdamW
};

/// The rule that ends the dense start.
enum class SwitchRule {
  kFixed,       ///< its length, `dense_start`
  kArithmetic,  ///< AutoSwitch of STEP (arXiv 2302.01172, section 5), arithmetic mean
  kGeometric,   ///< the same with the geometric mean
};

/// Whether AdamW's second moment is updated after the dense start.
enum class SecondMoment { kAdapt, kFreeze };

/// The weights whose second moments freeze. A weight without a mask keeps a gradient of the same
/// kind, so it needs no freeze.
enum class Freeze { kMasked, kAll };

/// The weights of the feed-forward layers, in every architecture.
inline constexpr char kFeedForwardLayers[] = "[.](mlp|fc[12])[.]";

struct Method {
  std::string name = "dense";
  std::string summary;

  ForwardWeight forward_weight = ForwardWeight::kDense;
  sparse::WeightGradient weight_gradient = sparse::WeightGradient::kExact;
  sparse::Precision precision = sparse::Precision::kNative;
  double feed_forward_share = 1.0;  ///< relative to 4 · width
  /// λ for pruned weights, in the sparse phase.
  double decay = 0.0;
  DecayOn decay_on = DecayOn::kGradient;
  /// Optimiser steps between two mask searches; 0 = the search before the first step is the only
  /// one. The values of W̃ are computed in every step.
  int64_t mask_interval = 1;
  /// Dense steps at the start and at the end: below 1 a share of all steps, else a number.
  double dense_start = 0.0, dense_end = 0.0;
  SwitchRule switch_rule = SwitchRule::kFixed;
  /// AutoSwitch: the sparse phase begins when the mean change of the second moment is below this,
  /// and only between these shares of the steps.
  double switch_threshold = 1e-8, switch_earliest = 0.1, switch_latest = 0.5;
  /// AdamW's second moment averages over 1 / (1 - β2) steps. A frozen one must average over many:
  /// STEP's paper has 0.999.
  double beta2 = 0.95;
  SecondMoment second_moment = SecondMoment::kAdapt;
  Freeze freeze = Freeze::kMasked;
  WatchedMasks watched_masks = WatchedMasks::kNone;
  /// A regular expression (ECMAScript), found in the weight names of the chosen layers.
  std::string layers = kFeedForwardLayers;

  bool is_sparse() const { return forward_weight != ForwardWeight::kDense; }
  bool has_given_masks() const { return forward_weight == ForwardWeight::kFixed; }
  bool has_auto_switch() const { return switch_rule != SwitchRule::kFixed; }
  bool has_masks() const { return is_sparse() || watched_masks != WatchedMasks::kNone; }
  /// Whether any layer is treated differently from the others, so that `layers` has an effect.
  bool has_chosen_layers() const {
    return has_masks() || precision != sparse::Precision::kNative ||
           weight_gradient != sparse::WeightGradient::kExact;
  }
};

/// The presets: dense, half, ste, sr-ste, step, fst, s-ste.
const std::vector<Method>& methods();

/// Throws Error (usage) with the known names.
const Method& method_named(std::string_view name);

/// One value of a method that a flag, a config file or a recipe can set.
struct Axis {
  std::string name;  ///< the flag's name without dashes
  std::string help;
  std::function<std::string(const Method&)> get;
  std::function<void(Method&, const std::string&)> set;  ///< throws Error (usage) for a bad value
  std::vector<std::string> choices = {};  ///< the names of the allowed values, if they have names
  std::string range = {};                 ///< of a number, in words
  /// Independent of the method: a config's value stays if the method changes.
  bool goes_with_every_method = false;
};
const std::vector<Axis>& axes();

/// Throws Error (usage), with the reason, for an invalid combination.
void check_method(const Method& method, int64_t steps, c10::ScalarType dtype);

/// The number of dense steps from `share_or_steps`.
int64_t dense_steps(double share_or_steps, int64_t steps);

}  // namespace twofour::train
