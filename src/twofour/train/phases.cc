#include "twofour/train/phases.h"

#include <algorithm>
#include <cmath>

#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

namespace twofour::train {
namespace {

constexpr double kMostChanges = 1e6;  // averaged at most; no run's β2 needs more

}  // namespace

Phases::Phases(const Method& method, int64_t steps)
    : method_(method),
      earliest_(dense_steps(method.switch_earliest, steps)),
      latest_(dense_steps(method.switch_latest, steps)),
      window_(std::max<int64_t>(
          1, std::llround(1.0 / std::max(1.0 / kMostChanges, 1.0 - method.beta2)))),
      dense_again_(steps - dense_steps(method.dense_end, steps)) {
  const bool is_auto = method.has_auto_switch();
  const int64_t start = is_auto ? -1 : dense_steps(method.dense_start, steps);
  sparse_from_ = at::full({}, start, at::kLong);
  changes_ = at::zeros({is_auto ? window_ : 0}, at::kDouble);  // its size is independent of the
                                                               // number of steps
  window_ = std::min(window_, std::max<int64_t>(1, latest_));
  recorded_ = at::zeros({}, at::kLong);
}

int64_t Phases::sparse_from() const { return sparse_from_.item<int64_t>(); }

bool Phases::is_sparse(int64_t step) const {
  if (!method_.is_sparse()) return false;
  const int64_t from = sparse_from();
  return from >= 0 && step >= from && step < dense_again_;
}

bool Phases::watches(int64_t step) const {
  return method_.is_sparse() && method_.has_auto_switch() && sparse_from() < 0 &&
         step + 1 >= earliest_ - window_;
}

void Phases::record(int64_t step, const SecondMomentChange* change) {
  const int64_t done = step + 1;
  bool is_settled = false;
  if (change) {
    double* ring = changes_.mutable_data_ptr<double>();
    int64_t& recorded = *recorded_.mutable_data_ptr<int64_t>();
    const bool is_mean = method_.switch_rule == SwitchRule::kArithmetic;
    ring[recorded++ % window_] = is_mean ? change->arithmetic : change->geometric;
    double sum = 0.0;
    for (int64_t i = 0; i < window_; ++i) sum += ring[i];
    const double mean = sum / static_cast<double>(window_);
    is_settled = recorded >= window_ && mean < method_.switch_threshold;
  }
  if (done >= latest_ || (done >= earliest_ && is_settled)) sparse_from_.fill_(done);
}

std::vector<std::pair<std::string, at::Tensor>> Phases::state() const {
  if (!method_.has_auto_switch()) return {};
  return {{"auto_switch.changes", changes_},
          {"auto_switch.recorded", recorded_},
          {"auto_switch.sparse_from", sparse_from_}};
}

}  // namespace twofour::train
