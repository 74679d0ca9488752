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
/// effect, and is said, for positive values. `with_values` adds to each curve what the script of a
/// page shows beside the pointer: data-name, data-steps, data-values.
std::string line_chart(const std::string& title, const std::string& unit,
                       const std::vector<Series>& series, bool logarithmic, bool with_values);

/// The same as a file of its own, with a title and a legend.
std::string standalone_chart(const std::string& title, const std::string& unit,
                             const std::vector<Series>& series, bool logarithmic);

/// The colours of the series, in turn: Okabe and Ito's, which colour-blind readers can tell apart.
inline constexpr const char* kColours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                           "#e69f00", "#56b4e9", "#8a6d3b", "#999999"};

/// What a curve of RunLog is called and how it is drawn.
struct ChartKind {
  const char *curve, *title, *unit;
  bool logarithmic;
};
const std::vector<ChartKind>& chart_kinds();

/// The runs' curves of that name; of runs that have one.
std::vector<Series> series_of(const std::vector<RunLog>& runs, const std::string& curve);

/// Text inside HTML or SVG.
std::string escape(const std::string& text);

}  // namespace twofour::report
