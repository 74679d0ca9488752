// The runs side by side: one row a run.
#pragma once

#include <string>
#include <vector>

#include "twofour/report/run_log.h"

namespace twofour::report {

struct Table {
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;
};

/// Method, parameters, steps, losses, validation perplexity, share of zeros, flip rate, tokens a
/// second (the median of the log), time. A dash stands for what a run did not log. Means of several
/// runs show ± the standard deviation of the losses.
Table compare(const std::vector<RunLog>& runs);

/// The share of each part of a step (base/parts.h) in the time of all steps, in percent, for runs
/// that logged them.
Table compare_parts(const std::vector<RunLog>& runs);

/// Aligned for a terminal.
std::string to_text(const Table& table);

std::string to_markdown(const Table& table);

/// One JSON object: {"runs": [{"run": …, "method": …, numbers or null}]}.
std::string to_json(const std::vector<RunLog>& runs);

}  // namespace twofour::report
