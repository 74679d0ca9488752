// When a run is beyond help.
#pragma once

#include <ATen/core/Tensor.h>

namespace twofour::train {

/// Watches the gradient's norm. A norm `factor` times the running average of the past is
/// suspicious; kPatience of them in a row are a divergence. The average (of logarithms, over about
/// 100 steps) takes in only norms that are not suspicious.
class DivergenceWatch {
 public:
  static constexpr int kPatience = 5;

  /// `factor` 0: never.
  explicit DivergenceWatch(double factor);

  /// After each step that was taken; `norm` finite, before clipping.
  void record(double norm);

  /// The last step's norm was suspicious: not a good moment for a checkpoint.
  bool is_suspicious() const;
  bool has_diverged() const;

  /// The running average.
  double usual_norm() const;

  /// [mean logarithm, norms taken in, suspicious in a row], float64; shares memory.
  const at::Tensor& state() const { return state_; }

 private:
  double factor_;
  at::Tensor state_;
};

}  // namespace twofour::train
