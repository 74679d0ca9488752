// The phase of each step of a run, dense or sparse. It only depends on the step's number and
// AutoSwitch's records, not on an event that a resumed run could miss.
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
      0;  ///< over entries that changed (a token that never occurs has no logarithm), else 0
};

/// Steps count from 0. With a fixed dense start the sparse steps are [start, steps - end). With
/// AutoSwitch (STEP, arXiv 2302.01172, section 5) the start is the first step before which the
/// change of v, averaged over the last 1 / (1 - β2) steps, was below the threshold, within the
/// method's bounds.
class Phases {
 public:
  Phases(const Method& method, int64_t steps);

  /// False for every step of a dense method.
  bool is_sparse(int64_t step) const;

  /// The first sparse step; -1 while AutoSwitch has not decided.
  int64_t sparse_from() const;

  /// Whether AutoSwitch needs the second moment's change of `step`.
  bool watches(int64_t step) const;

  /// Records the change, once per step, and decides whether step + 1 is sparse. Without a change (a
  /// skipped step) only the latest step within the bounds is checked.
  void record(int64_t step, const SecondMomentChange* change);

  /// The tensors of a checkpoint. They share memory, so filling them restores it. Empty with a
  /// fixed start.
  std::vector<std::pair<std::string, at::Tensor>> state() const;

 private:
  Method method_;
  int64_t earliest_, latest_, window_, dense_again_;
  at::Tensor sparse_from_;  // int64 scalar
  at::Tensor changes_;      // [window] float64, a ring
  at::Tensor recorded_;     // int64 scalar: number of changes recorded so far
};

}  // namespace twofour::train
