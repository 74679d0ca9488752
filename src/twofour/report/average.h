// Averages runs that differ only in their seed.
#pragma once

#include <vector>

#include "twofour/report/run_log.h"

namespace twofour::report {

/// Merges runs whose configurations differ only in "seed", "data" and "out", in the order of their
/// first run. A curve becomes the mean at the steps that all runs have logged. `deviations` are
/// sample standard deviations of the curves' last values, `runs` is the number of runs, `seconds`
/// their mean. The name is the method's, with "(2)" and so on where two groups share it.
std::vector<RunLog> average_seeds(const std::vector<RunLog>& runs);

}  // namespace twofour::report
