// Dynamic loss scaling for float16 (Micikevicius et al., "Mixed precision training", arXiv
// 1710.03740, section 3.2), with the rules and constants of PyTorch's GradScaler.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace twofour::train {

/// The factor for the loss's gradient, so that float16 gradients do not vanish. It doubles after
/// `growth_interval` consecutive finite steps and halves after one that is not.
class LossScaler {
 public:
  /// `initial` 0: off; the scale is always 1.
  LossScaler(double initial, int64_t growth_interval);

  bool is_on() const { return is_on_; }
  /// Resets to the initial scale.
  void restart();
  double scale() const;

  /// Whether the last step's gradients were finite. If not, the step is skipped.
  void update(bool has_overflown);

  /// Below 2^-10 a smaller scale cannot help: the run diverges.
  bool is_exhausted() const;

  /// [scale, consecutive finite steps], float64; shares memory.
  const at::Tensor& state() const { return state_; }

 private:
  double initial_;
  bool is_on_;
  int64_t growth_interval_;
  at::Tensor state_;
};

}  // namespace twofour::train
