#pragma once

#include <string>
#include <vector>

#include "twofour/report/run_log.h"

namespace twofour::report {

/// One self-contained HTML page about the runs: the table of table.h, a chart for every curve that
/// a run logged, the parts of a step, the differences of the configurations, and the samples. A
/// small script, which the rest does not need, shows values beside the pointer. Well-formed XML;
/// all text is escaped.
std::string make_page(const std::vector<RunLog>& runs);

}  // namespace twofour::report
