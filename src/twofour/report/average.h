// Runs that differ in nothing but their seed, as one.
#pragma once

#include <vector>

#include "twofour/report/run_log.h"

namespace twofour::report {

/// Puts the runs whose configurations are equal but for "seed" (and "data", "out") together, in the
/// order of their first: each curve becomes the mean over the runs at the steps that all have
/// logged, `deviations` the standard deviation (of a sample) of each curve's last value, `runs`
/// their number, `seconds` the mean. The name is the method's, with "(2)" and so on where two
/// groups share it.
std::vector<RunLog> average_seeds(const std::vector<RunLog>& runs);

}  // namespace twofour::report
