// Line charts as SVG.
#pragma once

#include <string>
#include <vector>

#include "twofour/report/run_log.h"

namespace twofour::report {

struct Series {
  std::string name;
  int colour;  ///< which of the page's colours: class "c0", "c1", …
  std::vector<Point> points;
};

/// A chart of all series over the step, as one <svg> element. Long series are thinned to a few
/// hundred points that keep their peaks. `unit` labels the vertical axis; `logarithmic` takes
/// effect for positive values.
std::string line_chart(const std::string& title, const std::string& unit,
                       const std::vector<Series>& series, bool logarithmic);

/// Text inside HTML or SVG.
std::string escape(const std::string& text);

}  // namespace twofour::report
