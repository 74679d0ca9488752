#pragma once

#include <nlohmann/json.hpp>

#include "twofour/train/options.h"
#include "twofour/train/trainer.h"

namespace twofour::cli {

/// The end of a training run as the object of --json; null for what was not measured.
nlohmann::ordered_json summary_json(const train::TrainSummary& summary,
                                    const train::TrainOptions& options);

}  // namespace twofour::cli
