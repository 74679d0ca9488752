#include "twofour/report/average.h"

#include <cmath>
#include <map>
#include <set>

#include <fmt/format.h>

namespace twofour::report {
namespace {

bool differ_in_seed_only(const RunLog& a, const RunLog& b) {
  const auto without_seed = [](std::map<std::string, std::string> config) {
    for (const char* key : {"seed", "data", "out"}) config.erase(key);
    return config;
  };
  return a.method == b.method && a.dtype == b.dtype && a.steps == b.steps &&
         without_seed(a.config) == without_seed(b.config);
}

// The mean over the runs, where every one of them has a value.
std::vector<Point> mean_curve(const std::vector<const RunLog*>& group, const std::string& name) {
  std::map<double, std::pair<double, size_t>> sums;
  for (const RunLog* run : group) {
    const auto found = run->curves.find(name);
    if (found == run->curves.end()) return {};
    for (const Point& point : found->second) {
      auto& [sum, count] = sums[point.step];
      sum += point.value;
      ++count;
    }
  }
  std::vector<Point> mean;
  for (const auto& [step, value] : sums) {
    if (value.second != group.size()) continue;
    mean.push_back({step, value.first / static_cast<double>(value.second)});
  }
  return mean;
}

double deviation_of_last(const std::vector<const RunLog*>& group, const std::string& name,
                         double mean) {
  double squares = 0.0;
  for (const RunLog* run : group) {
    const double difference = last_value(*run, name).value_or(mean) - mean;
    squares += difference * difference;
  }
  return std::sqrt(squares / static_cast<double>(group.size() - 1));
}

RunLog average(const std::vector<const RunLog*>& group) {
  RunLog mean = *group.front();
  mean.runs = static_cast<int64_t>(group.size());
  mean.seconds = 0;
  for (const RunLog* run : group) mean.seconds += run->seconds / static_cast<double>(mean.runs);
  for (auto& [name, points] : mean.curves) {
    points = mean_curve(group, name);
    if (points.empty() || group.size() < 2) continue;
    mean.deviations[name] = deviation_of_last(group, name, points.back().value);
  }
  return mean;
}

}  // namespace

std::vector<RunLog> average_seeds(const std::vector<RunLog>& runs) {
  std::vector<std::vector<const RunLog*>> groups;
  for (const RunLog& run : runs) {
    bool is_new = true;
    for (auto& group : groups) {
      if (!is_new || !differ_in_seed_only(*group.front(), run)) continue;
      group.push_back(&run);
      is_new = false;
    }
    if (is_new) groups.push_back({&run});
  }
  std::vector<RunLog> means;
  std::map<std::string, int> names;
  for (const auto& group : groups) {
    means.push_back(average(group));
    const int number = ++names[means.back().method];
    means.back().name = means.back().method + (number > 1 ? fmt::format(" ({})", number) : "");
  }
  return means;
}

}  // namespace twofour::report
