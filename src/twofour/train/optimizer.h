// AdamW (Loshchilov & Hutter, "Decoupled weight decay regularization", algorithm 2) with clipping
// of the gradient's norm over all parameters.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace twofour::train {

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8;
  double weight_decay = 0.1;  ///< on parameters of two dimensions or more
  double clip = 1.0;          ///< 0 = none
};

/// Works on the parameters' own float32 memory and on .grad(), which it clears after a step.
class AdamW {
 public:
  AdamW(std::vector<std::pair<std::string, at::Tensor>> parameters, const AdamWOptions& options);

  /// One update. Returns the gradient's norm before clipping; when that is not finite, nothing is
  /// updated.
  double step(double learning_rate);

  void clear_gradients();

  /// Everything that the next step depends on: "exp_avg.NAME", "exp_avg_sq.NAME". The tensors share
  /// memory with the optimiser: filling them restores it.
  std::vector<std::pair<std::string, at::Tensor>> state() const;
  int64_t steps_taken() const { return steps_taken_; }
  void set_steps_taken(int64_t steps);

 private:
  struct Group {
    std::vector<at::Tensor> parameters, gradients, exp_avg, exp_avg_sq, steps;
    std::vector<std::string> names;
    double weight_decay = 0;
  };
  AdamWOptions options_;
  Group groups_[2];  // with decay, without
  int64_t steps_taken_ = 0;
};

}  // namespace twofour::train
