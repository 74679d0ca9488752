// Reads the log and configuration of a run folder.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace twofour::report {

struct Point {
  double step, value;
};

/// A curve by the name of its field in log.jsonl.
using Curves = std::map<std::string, std::vector<Point>>;

/// What a mask-learning run records of its masks now and then.
struct MaskRecord {
  double step = 0;
  /// By layer: groups by the largest probability of their candidates, in equal parts of [0, 1].
  std::vector<std::pair<std::string, std::vector<double>>> histograms;
  /// A corner of one layer's likeliest mask: `rows` strings of '1' (kept) and '0'.
  std::string layer;
  std::vector<std::string> rows;
};

struct RunLog {
  std::string name, method, dtype;
  int64_t parameters = 0, steps = 0, tokens_per_step = 0;
  double seconds = 0;  ///< training time summed over the parts of the run, as far as it was logged
  /// By the names of chart_kinds() (chart.h), and "seconds/PART" for the parts of a step, in
  /// seconds since the record before.
  Curves curves;
  int64_t runs = 1;                           ///< merged into this one (average.h)
  std::map<std::string, double> deviations;   ///< of the curves' last values, where runs > 1
  std::map<std::string, std::string> config;  ///< key -> value as config.toml writes them
  std::vector<MaskRecord> masks;              ///< by step; empty but for learned masks
  std::string samples;  ///< RUN/samples.txt, if it exists, else those of the log
};

/// Reads a run. If a resumed run took a step twice, the later line counts. Throws Error with file
/// and line if it is no log. A line that a killed run left unfinished is skipped, at the end or
/// where the run was resumed.
RunLog read_run(const std::filesystem::path& run);

/// The last value of a curve, if it has any.
std::optional<double> last_value(const RunLog& run, const std::string& curve);

}  // namespace twofour::report
