// What is watched while masks are learned, of a layer or of the whole model.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "twofour/sparse/soft_mask.h"
#include "twofour/train/metrics.h"

namespace twofour::learn {

struct MaskStatistics {
  kernels::LogitStatistics logits;
  int64_t groups = 0, logit_count = 0;
  int64_t changed = 0;             ///< groups whose likeliest candidate is another than at the last
                                   ///< record
  int64_t changed_from_prior = 0;  ///< and than the prior's, or the initial one without a prior

  MaskStatistics& operator+=(const MaskStatistics& other);
  /// The largest probability of a group's candidates, mean over groups.
  double mean_probability() const;
  double changed_share() const;
  double prior_share() const;
  double mean() const;       ///< of the logits
  double deviation() const;  ///< of the logits
  double kept_norm() const;  ///< L2 norm of the weights that the likeliest masks keep

  /// The values of layer `name`, in an object of log.jsonl for each kind of value.
  void add_metrics(const std::string& name, std::vector<train::Metric>& metrics) const;
};

/// All but the changes.
MaskStatistics mask_statistics(const sparse::SoftMask& mask, const at::Tensor& weight, float kappa);

}  // namespace twofour::learn
