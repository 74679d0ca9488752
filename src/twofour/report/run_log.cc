#include "twofour/report/run_log.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include <nlohmann/json.hpp>

#include "twofour/base/error.h"
#include "twofour/base/file.h"

namespace twofour::report {
namespace {

using Json = nlohmann::json;

constexpr const char* kStepFields[] = {"loss",
                                       "lr",
                                       "grad_norm",
                                       "tokens_per_second",
                                       "flip_rate",
                                       "zeros",
                                       "loss_scale",
                                       "regularisation",
                                       "kappa",
                                       "tau",
                                       "max_probability",
                                       "changed",
                                       "changed_from_prior",
                                       "logit_mean",
                                       "logit_deviation",
                                       "kept_l2"};

class LogReader {
 public:
  explicit LogReader(RunLog& run) : run_(run) {}

  // False for a line that is no record of a log.
  bool read(const Json& line) {
    if (!line.is_object() || !line.contains("event") || !line["event"].is_string()) return false;
    const auto event = line["event"].get<std::string>();
    if (event == "start") {
      run_.method = text(line, "method");
      run_.dtype = text(line, "dtype");
      run_.parameters = static_cast<int64_t>(number(line, "parameters").value_or(0));
      run_.steps = static_cast<int64_t>(number(line, "steps").value_or(0));
      run_.tokens_per_step = static_cast<int64_t>(number(line, "tokens_per_step").value_or(0));
      forget_after(number(line, "step").value_or(0));
      return true;
    }
    if (event == "end") {
      run_.seconds += number(line, "seconds").value_or(0);
      return true;
    }
    const auto step = number(line, "step");
    if (!step) return false;
    if (event == "validation") add("validation", *step, number(line, "loss"));
    if (event == "sample") {
      run_.samples += fmt::format("after step {}: {}{}\n\n", *step, text(line, "prompt"),
                                  text(line, "continuation"));
    }
    if (event == "masks") add_masks(*step, line);
    if (event == "step") {
      for (const char* field : kStepFields) add(field, *step, number(line, field));
      if (line.contains("seconds") && line["seconds"].is_object()) {
        for (const auto& [part, value] : line["seconds"].items()) {
          add("seconds/" + part, *step, number(line["seconds"], part.c_str()));
        }
      }
    }
    return true;
  }

  void finish() {
    for (auto& [curve, points] : points_) {
      for (const auto& [step, value] : points) run_.curves[curve].push_back({step, value});
    }
  }

 private:
  static std::optional<double> number(const Json& line, const char* key) {
    if (!line.contains(key) || !line[key].is_number()) return std::nullopt;
    return line[key].get<double>();
  }
  static std::string text(const Json& line, const char* key) {
    return line.contains(key) && line[key].is_string() ? line[key].get<std::string>() : "";
  }
  // Drops steps of an earlier part of the run after the checkpoint that this part resumed from.
  void forget_after(double step) {
    for (auto& [curve, points] : points_) points.erase(points.upper_bound(step), points.end());
    while (!run_.masks.empty() && run_.masks.back().step > step) run_.masks.pop_back();
  }
  // Anything of another form is left out.
  void add_masks(double step, const Json& line) {
    MaskRecord record;
    record.step = step;
    const Json none = Json::object();
    const Json& histograms = line.contains("histograms") ? line["histograms"] : none;
    for (const auto& [layer, counts] : histograms.items()) {
      std::vector<double> numbers;
      for (const Json& count : counts)
        numbers.push_back(count.is_number() ? count.get<double>() : 0);
      record.histograms.emplace_back(layer, std::move(numbers));
    }
    record.layer = text(line, "layer");
    if (line.contains("rows") && line["rows"].is_array()) {
      for (const Json& row : line["rows"]) {
        record.rows.push_back(row.is_string() ? row.get<std::string>() : "");
      }
    }
    if (!run_.masks.empty() && run_.masks.back().step == step) run_.masks.pop_back();
    run_.masks.push_back(std::move(record));
  }
  void add(const std::string& curve, double step, std::optional<double> value) {
    if (value && std::isfinite(*value)) points_[curve][step] = *value;
  }

  RunLog& run_;
  std::map<std::string, std::map<double, double>> points_;
};

// config.toml as this program writes it: one "key = value" a line.
std::map<std::string, std::string> read_config(const fs::path& path) {
  std::map<std::string, std::string> config;
  if (!fs::exists(path)) return config;
  const std::string text = read_file(path, kLargestLog);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    const size_t equals = line.find(" = ");
    if (equals != std::string::npos && line[0] != '#') {
      config[line.substr(0, equals)] = line.substr(equals + 3);
    }
    begin = end + 1;
  }
  return config;
}

}  // namespace

RunLog read_run(const fs::path& run) {
  RunLog log;
  fs::path named = run;
  if (named.filename().empty()) named = named.parent_path();
  log.name = named.filename().string();
  const fs::path path = run / "log.jsonl";
  const std::string text = read_file(path, kLargestLog);
  LogReader reader(log);
  int64_t number = 0, records = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    const bool unfinished = end == std::string::npos;
    const std::string line = text.substr(begin, unfinished ? end : end - begin);
    begin = unfinished ? text.size() : end + 1;
    ++number;
    const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (reader.read(json)) {
      ++records;
    } else if (records == 0 || !json.is_discarded() || !line.starts_with("{\"event")) {
      fail("cannot read \"{}\": line {} is no record of a run", path.string(), number);
    }
  }
  if (records == 0) fail("cannot read \"{}\": it is empty", path.string());
  reader.finish();
  log.config = read_config(run / "config.toml");
  if (fs::exists(run / "samples.txt")) log.samples = read_file(run / "samples.txt", kLargestLog);
  return log;
}

std::optional<double> last_value(const RunLog& run, const std::string& curve) {
  const auto found = run.curves.find(curve);
  if (found == run.curves.end() || found->second.empty()) return std::nullopt;
  return found->second.back().value;
}

}  // namespace twofour::report
