// Pictures of the masks that a run learns.
#pragma once

#include <string>

#include "twofour/report/run_log.h"

namespace twofour::report {

/// HTML: how a corner of one layer's mask moves, and the histograms of the largest probability by
/// layer at the first and the last record. Empty for a run without such records.
std::string mask_pictures(const RunLog& run);

}  // namespace twofour::report
