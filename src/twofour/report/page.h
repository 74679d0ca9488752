#pragma once

#include <string>
#include <vector>

#include "twofour/report/run_log.h"

namespace twofour::report {

/// One HTML page about the runs that needs no other file: the table of table.h, a chart for every
/// curve that a run logged, the parts of a step, what differs between the configurations, and the
/// samples. A small script shows values beside the pointer; without it nothing else is missing.
/// Well-formed XML; all text is escaped.
std::string make_page(const std::vector<RunLog>& runs);

}  // namespace twofour::report
