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

/// A chart of all series over the step (or `over`), as one <svg> element. Long series are thinned
/// to a few hundred points that keep their peaks. `unit` labels the vertical axis. `logarithmic`
/// applies, and is labelled, if all values are positive. `with_values` adds data-name, data-steps
/// and data-values, which a page's script shows.
std::string line_chart(const std::string& title, const std::string& unit,
                       const std::vector<Series>& series, bool logarithmic, bool with_values,
                       const std::string& over = "step");

/// The same as a file of its own, with a title and a legend.
std::string standalone_chart(const std::string& title, const std::string& unit,
                             const std::vector<Series>& series, bool logarithmic,
                             const std::string& over = "step");

/// The colours of the series, in turn: Okabe and Ito's, which colour-blind readers can tell apart.
inline constexpr const char* kColours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                           "#e69f00", "#56b4e9", "#8a6d3b", "#999999"};

/// The title of a curve of RunLog and how it is drawn.
struct ChartKind {
  const char *curve, *title, *unit;
  bool logarithmic;
};
const std::vector<ChartKind>& chart_kinds();

/// The curves of that name, of the runs that have one.
std::vector<Series> series_of(const std::vector<RunLog>& runs, const std::string& curve);

/// Text inside HTML or SVG.
std::string escape(const std::string& text);

}  // namespace twofour::report
