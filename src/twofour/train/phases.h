// Which steps of a run are sparse. A step's phase is a function of its number and of what
// AutoSwitch has recorded, never of an event that a resumed run could miss.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "twofour/train/methods.h"

namespace twofour::train {

/// Means of |v_t - v_(t-1)| over AdamW's second moment v of the whole model.
struct SecondMomentChange {
  double arithmetic = 0;  ///< over all entries
  double geometric =
      0;  ///< over those that changed (a token that never occurs has no logarithm), else 0
};

/// Steps count from 0. With a fixed dense start the sparse steps are [start, steps - end); with
/// AutoSwitch (STEP, arXiv 2302.01172, section 5) the start is the first step before which the
/// change of v, averaged over the last 1 / (1 - β2) steps, was under the threshold, within the
/// bounds that the method sets.
class Phases {
 public:
  Phases(const Method& method, int64_t steps);

  /// False for every step of a dense method.
  bool is_sparse(int64_t step) const;

  /// The first sparse step; -1 while AutoSwitch has not decided.
  int64_t sparse_from() const;

  /// Whether AutoSwitch wants the second moment's change of `step`.
  bool watches(int64_t step) const;

  /// Takes it, once a step, and decides whether step + 1 is sparse. Without a change (a skipped
  /// step) only the latest step that the bounds allow is looked at.
  void record(int64_t step, const SecondMomentChange* change);

  /// What a checkpoint holds; shares memory, so that filling the tensors restores it. Empty with a
  /// fixed start.
  std::vector<std::pair<std::string, at::Tensor>> state() const;

 private:
  Method method_;
  int64_t earliest_, latest_, window_, dense_again_;
  at::Tensor sparse_from_;  // int64 scalar
  at::Tensor changes_;      // [window] float64, a ring
  at::Tensor recorded_;     // int64 scalar: how many changes were ever recorded
};

}  // namespace twofour::train
