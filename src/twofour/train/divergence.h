// Detects runs that diverge.
#pragma once

#include <ATen/core/Tensor.h>

namespace twofour::train {

/// Watches the gradient's norm. A norm `factor` times its running average is suspicious, and
/// kPatience of them in a row are a divergence. The average (of logarithms, over about 100 steps)
/// only includes norms that are not suspicious.
class DivergenceWatch {
 public:
  static constexpr int kPatience = 5;

  /// `factor` 0: never diverges.
  explicit DivergenceWatch(double factor);

  /// Call after each step that was not skipped. `norm` is finite, before clipping.
  void record(double norm);

  /// The last step's norm was suspicious, so it should not be saved as a checkpoint.
  bool is_suspicious() const;
  bool has_diverged() const;

  /// The running average.
  double usual_norm() const;

  /// [mean logarithm, norms included, suspicious in a row], float64; shares memory.
  const at::Tensor& state() const { return state_; }

 private:
  double factor_;
  at::Tensor state_;
};

}  // namespace twofour::train
