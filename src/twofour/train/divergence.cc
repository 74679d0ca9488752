#include "twofour/train/divergence.h"

#include <algorithm>
#include <cmath>

#include <ATen/ops/zeros.h>

namespace twofour::train {

DivergenceWatch::DivergenceWatch(double factor)
    : factor_(factor), state_(at::zeros({3}, at::kDouble)) {}

void DivergenceWatch::record(double norm) {
  constexpr double kMemory = 100;  // steps
  constexpr double kFirst = 10;    // norms that are always accepted
  double* state = state_.mutable_data_ptr<double>();
  const double log = std::log(std::max(norm, 1e-30));
  if (factor_ > 0 && state[1] >= kFirst && log > state[0] + std::log(factor_)) {
    ++state[2];
    return;
  }
  state[2] = 0;
  ++state[1];
  state[0] += (log - state[0]) / std::min(state[1], kMemory);
}

bool DivergenceWatch::is_suspicious() const { return state_.const_data_ptr<double>()[2] > 0; }

bool DivergenceWatch::has_diverged() const {
  return state_.const_data_ptr<double>()[2] >= kPatience;
}

double DivergenceWatch::usual_norm() const { return std::exp(state_.const_data_ptr<double>()[0]); }

}  // namespace twofour::train
