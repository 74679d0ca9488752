#include "twofour/learn/mask_statistics.h"

#include <cmath>
#include <iterator>

#include "twofour/tensor/kernel_types.h"

namespace twofour::learn {
namespace {

double ratio(double part, int64_t whole) { return part / static_cast<double>(whole); }

}  // namespace

MaskStatistics& MaskStatistics::operator+=(const MaskStatistics& other) {
  logits.largest_probability += other.logits.largest_probability;
  logits.sum += other.logits.sum;
  logits.squares += other.logits.squares;
  logits.kept_squares += other.logits.kept_squares;
  for (size_t i = 0; i < std::size(logits.histogram); ++i) {
    logits.histogram[i] += other.logits.histogram[i];
  }
  groups += other.groups;
  logit_count += other.logit_count;
  changed += other.changed;
  changed_from_prior += other.changed_from_prior;
  return *this;
}

double MaskStatistics::mean_probability() const {
  return ratio(logits.largest_probability, groups);
}
double MaskStatistics::changed_share() const { return ratio(static_cast<double>(changed), groups); }
double MaskStatistics::prior_share() const {
  return ratio(static_cast<double>(changed_from_prior), groups);
}
double MaskStatistics::mean() const { return ratio(logits.sum, logit_count); }
double MaskStatistics::deviation() const {
  return std::sqrt(std::max(0.0, ratio(logits.squares, logit_count) - mean() * mean()));
}
double MaskStatistics::kept_norm() const { return std::sqrt(logits.kept_squares); }

void MaskStatistics::add_metrics(const std::string& name,
                                 std::vector<train::Metric>& metrics) const {
  const auto add = [&](const char* kind, double value) {
    metrics.push_back({.name = name,
                       .value = value,
                       .tag = std::string(kind) + "/" + name,
                       .group = std::string("layer_") + kind});
  };
  add("max_probability", mean_probability());
  add("changed", changed_share());
  add("changed_from_prior", prior_share());
  add("logit_mean", mean());
  add("logit_deviation", deviation());
  add("kept_l2", kept_norm());
}

MaskStatistics mask_statistics(const sparse::SoftMask& mask, const at::Tensor& weight,
                               float kappa) {
  MaskStatistics statistics;
  statistics.groups = mask.groups();
  statistics.logit_count = mask.logits.numel();
  tensor::with_type(weight.scalar_type(), [&](auto* type) {
    using Weight = tensor::Pointee<decltype(type)>;
    const auto* values = static_cast<const Weight*>(weight.const_data_ptr());
    const auto measure = [&](const auto* logits) {
      statistics.logits = kernels::logit_statistics(logits, values, weight.size(0), weight.size(1),
                                                    mask.candidates, kappa);
    };
    if (mask.logits.scalar_type() == at::kFloat) {
      measure(mask.logits.const_data_ptr<float>());
    } else {
      measure(static_cast<const kernels::bfloat16*>(mask.logits.const_data_ptr()));
    }
  });
  return statistics;
}

}  // namespace twofour::learn
