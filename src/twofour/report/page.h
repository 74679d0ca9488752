#pragma once

#include <string>
#include <vector>

#include "twofour/report/run_log.h"

namespace twofour::report {

/// One HTML page about the runs that needs no other file and no script: the table of table.h, a
/// chart for every curve that a run logged, what differs between the configurations, and the
/// samples. Well-formed XML; all text is escaped.
std::string make_page(const std::vector<RunLog>& runs);

}  // namespace twofour::report
