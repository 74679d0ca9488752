#include "twofour/train/loss_scaler.h"

#include <algorithm>

#include <ATen/ops/zeros.h>

namespace twofour::train {

LossScaler::LossScaler(double initial, int64_t growth_interval)
    : initial_(initial),
      is_on_(initial > 0),
      growth_interval_(growth_interval),
      state_(at::zeros({2}, at::kDouble)) {
  restart();
}

void LossScaler::restart() {
  double* state = state_.mutable_data_ptr<double>();
  state[0] = is_on_ ? initial_ : 1.0;
  state[1] = 0;
}

double LossScaler::scale() const { return state_.const_data_ptr<double>()[0]; }

void LossScaler::update(bool has_overflown) {
  if (!is_on_) return;
  constexpr double kLargest = 0x1p126;  // its reciprocal is a normal float32
  double* state = state_.mutable_data_ptr<double>();
  if (has_overflown) {
    state[0] /= 2;
    state[1] = 0;
  } else if (++state[1] >= static_cast<double>(growth_interval_)) {
    state[0] = std::min(kLargest, state[0] * 2);
    state[1] = 0;
  }
}

bool LossScaler::is_exhausted() const { return is_on_ && scale() < 0x1p-10; }

}  // namespace twofour::train
