// The record of a pruning run: prune.json, and the parts from which an interrupted run goes on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "twofour/prune/layer.h"
#include "twofour/prune/layer_plan.h"

namespace twofour::prune {

struct Totals {
  int64_t weights = 0, zeros = 0;
  double share_of_zeros() const {
    return static_cast<double>(zeros) / static_cast<double>(weights);
  }
};

/// Over pruned layers.
Totals totals_of(const std::vector<LayerResult>& layers);

nlohmann::ordered_json layer_json(const LayerResult& layer);
LayerResult layer_from_json(const nlohmann::json& json);

/// {"layers": [{"name", "pattern", "zeros", "error", …}], "skipped": [{"name", "reason"}],
/// "totals": {…}}.
nlohmann::ordered_json layers_json(const std::vector<LayerResult>& layers,
                                   const std::vector<SkippedLayer>& skipped);

}  // namespace twofour::prune
