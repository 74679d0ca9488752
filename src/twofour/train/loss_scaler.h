// Dynamic loss scaling for float16 (Micikevicius et al., "Mixed precision training", arXiv
// 1710.03740, section 3.2), with the rules and constants of PyTorch's GradScaler.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace twofour::train {

/// The factor by which the loss's gradient is multiplied, so that float16 gradients do not vanish:
/// doubled after `growth_interval` steps in a row that were finite, halved after one that was not.
class LossScaler {
 public:
  /// `initial` 0: off, the scale is 1 for good.
  LossScaler(double initial, int64_t growth_interval);

  bool is_on() const { return is_on_; }
  /// Begins again with the initial scale.
  void restart();
  double scale() const;

  /// What the last step's gradients were. An overflow means that the step is skipped.
  void update(bool has_overflown);

  /// Below 2^-10, an overflow is no matter of scale any more: the run diverges.
  bool is_exhausted() const;

  /// [scale, finite steps in a row], float64; shares memory.
  const at::Tensor& state() const { return state_; }

 private:
  double initial_;
  bool is_on_;
  int64_t growth_interval_;
  at::Tensor state_;
};

}  // namespace twofour::train
