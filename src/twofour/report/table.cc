#include "twofour/report/table.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "twofour/base/parts.h"
#include "twofour/base/progress.h"

namespace twofour::report {
namespace {

std::optional<double> median(const RunLog& run, const std::string& curve) {
  const auto found = run.curves.find(curve);
  if (found == run.curves.end() || found->second.empty()) return std::nullopt;
  std::vector<double> values;
  for (const Point& point : found->second) values.push_back(point.value);
  const auto middle = values.begin() + static_cast<int64_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

std::string shown(const std::optional<double>& value, const char* format) {
  return value ? fmt::format(fmt::runtime(format), *value) : "–";
}

std::optional<double> percent(const std::optional<double>& share) {
  if (!share) return std::nullopt;
  return 100 * *share;
}

// The last value, ± its standard deviation where several runs are one.
std::string shown_last(const RunLog& run, const std::string& curve) {
  const auto deviation = run.deviations.find(curve);
  const std::string value = shown(last_value(run, curve), "{:.4f}");
  return deviation == run.deviations.end() ? value
                                           : fmt::format("{} ± {:.4f}", value, deviation->second);
}

std::optional<double> perplexity(const RunLog& run) {
  const auto loss = last_value(run, "validation");
  if (!loss) return std::nullopt;
  return std::exp(*loss);
}

std::string count(int64_t number) {
  if (number >= 1'000'000) return fmt::format("{:.2f} M", static_cast<double>(number) / 1e6);
  return fmt::format("{}", number);
}

size_t width_of(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

}  // namespace

Table compare(const std::vector<RunLog>& runs) {
  Table table;
  table.header = {"run",       "method",          "parameters", "steps",     "training loss",
                  "val. loss", "val. perplexity", "zeros",      "flip rate", "tokens/s",
                  "time"};
  for (const RunLog& run : runs) {
    table.rows.push_back({run.name, run.method, count(run.parameters), fmt::format("{}", run.steps),
                          shown_last(run, "loss"), shown_last(run, "validation"),
                          shown(perplexity(run), "{:.2f}"),
                          shown(percent(last_value(run, "zeros")), "{:.1f} %"),
                          shown(last_value(run, "flip_rate"), "{:.4f}"),
                          shown(median(run, "tokens_per_second"), "{:.0f}"),
                          run.seconds > 0 ? format_duration(run.seconds) : "–"});
  }
  return table;
}

Table compare_parts(const std::vector<RunLog>& runs) {
  const auto seconds = [](const RunLog& run, const std::string& part) {
    double sum = 0.0;
    const auto found = run.curves.find("seconds/" + part);
    if (found == run.curves.end()) return sum;
    for (const Point& point : found->second) sum += point.value;
    return sum;
  };
  Table table{{"run", "method"}, {}};
  for (size_t i = 0; i < kPartNames.size(); ++i) {
    table.header.push_back(i == kStepParts ? fmt::format("of these: {}", kPartNames[i])
                                           : kPartNames[i]);
  }
  for (const RunLog& run : runs) {
    std::array<double, kPartNames.size()> parts{};
    for (size_t i = 0; i < parts.size(); ++i) parts[i] = seconds(run, kPartNames[i]);
    const double all = std::accumulate(parts.begin(), parts.begin() + kStepParts, 0.0);
    if (all == 0.0) continue;
    table.rows.push_back({run.name, run.method});
    for (const double part : parts) {
      table.rows.back().push_back(fmt::format("{:.1f} %", 100 * part / all));
    }
  }
  return table;
}

std::string to_markdown(const Table& table) {
  const auto line = [](const std::vector<std::string>& cells) {
    std::string text = "|";
    for (const std::string& cell : cells) text += " " + cell + " |";
    return text + "\n";
  };
  std::string text = line(table.header) + "|";
  for (size_t i = 0; i < table.header.size(); ++i) text += i < 2 ? "---|" : "--:|";
  text += "\n";
  for (const auto& row : table.rows) text += line(row);
  return text;
}

std::string to_text(const Table& table) {
  std::vector<size_t> widths;
  for (const std::string& title : table.header) widths.push_back(width_of(title));
  for (const auto& row : table.rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  std::string text;
  const auto add = [&](const std::vector<std::string>& row) {
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string padding(widths[i] - width_of(row[i]), ' ');
      const bool is_name = i < 2;
      text += (i == 0 ? "" : "  ") + (is_name ? row[i] + padding : padding + row[i]);
    }
    text += "\n";
  };
  add(table.header);
  for (const auto& row : table.rows) add(row);
  return text;
}

std::string to_json(const std::vector<RunLog>& runs) {
  using Json = nlohmann::ordered_json;
  const auto number = [](const std::optional<double>& value) {
    return value ? Json(*value) : Json();
  };
  static const std::map<std::string, const char*> kDeviationKeys = {
      {"loss", "train_loss_deviation"}, {"validation", "validation_loss_deviation"}};
  Json json = {{"runs", Json::array()}};
  for (const RunLog& run : runs) {
    json["runs"].push_back({{"run", run.name},
                            {"method", run.method},
                            {"parameters", run.parameters},
                            {"steps", run.steps},
                            {"train_loss", number(last_value(run, "loss"))},
                            {"validation_loss", number(last_value(run, "validation"))},
                            {"validation_perplexity", number(perplexity(run))},
                            {"zeros", number(last_value(run, "zeros"))},
                            {"flip_rate", number(last_value(run, "flip_rate"))},
                            {"tokens_per_second", number(median(run, "tokens_per_second"))},
                            {"seconds", run.seconds}});
    if (run.runs < 2) continue;
    json["runs"].back()["runs"] = run.runs;
    for (const auto& [curve, key] : kDeviationKeys) {
      const auto found = run.deviations.find(curve);
      if (found != run.deviations.end()) json["runs"].back()[key] = found->second;
    }
  }
  return json.dump();
}

}  // namespace twofour::report
