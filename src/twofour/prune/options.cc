#include "twofour/prune/options.h"

#include "twofour/base/error.h"
#include "twofour/base/numbers.h"
#include "twofour/tensor/dtype.h"

namespace twofour::prune {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::pair<Method, const char*> kMethods[] = {{Method::kMagnitude, "magnitude"},
                                                       {Method::kWanda, "wanda"},
                                                       {Method::kSparseGpt, "sparsegpt"},
                                                       {Method::kRia, "ria"}};

const char* weights_name(Weights weights) {
  switch (weights) {
    case Weights::kUntouched:
      return "untouched";
    case Weights::kMasked:
      return "masked";
    case Weights::kUpdated:
      return "updated";
    case Weights::kAdmm:
      return "admm";
    case Weights::kExact:
      return "exact";
  }
  fail("no such weights");
}

Json rules_json(const std::vector<LayerRule>& rules) {
  Json json = Json::array();
  for (const LayerRule& rule : rules) {
    const std::string pattern = rule.pattern ? prune::name_of(*rule.pattern) : "dense";
    json.push_back(Json::array({rule.match, pattern}));
  }
  return json;
}

}  // namespace

Method method_named(const std::string& name) {
  for (const auto& [method, own] : kMethods) {
    if (name == own) return method;
  }
  fail_usage("there is no method \"{}\"", printable(name));
}

sparse::Pattern pattern_named(const std::string& text) {
  const std::string_view whole = text;
  const size_t colon = whole.find(':');
  if (colon == std::string::npos) {
    const auto share = parse_number(whole);
    if (share) {
      const sparse::Pattern pattern = {0, 0, *share};
      sparse::check(pattern);
      return pattern;
    }
  } else {
    const auto kept = parse_number<int64_t>(whole.substr(0, colon));
    const auto group = parse_number<int64_t>(whole.substr(colon + 1));
    if (kept && group && *group != 0) {
      const sparse::Pattern pattern = {*kept, *group, 0};
      sparse::check(pattern);
      return pattern;
    }
  }
  fail_usage("\"{}\" is no pattern: give N:M as 2:4, or a share of zeros as 0.5", printable(text));
}

std::string name_of(const sparse::Pattern& pattern) {
  if (pattern.is_structured()) return fmt::format("{}:{}", pattern.kept, pattern.group);
  return fmt::format("{}", pattern.sparsity);
}

Json settings_of(const PruneOptions& options) {
  const CalibrationOptions& calibration = options.calibration;
  const bool is_calibrated = !calibration.files.empty();
  std::string method;
  for (const auto& [each, name] : kMethods) {
    if (each == options.method) method = name;
  }
  Json json = {{"method", method},
               {"pattern", name_of(options.pattern)},
               {"weights", weights_name(options.weights)},
               {"include", options.include},
               {"exclude", options.exclude},
               {"rules", rules_json(options.rules)}};
  json["blocks"] = options.blocks ? Json({options.blocks->first, options.blocks->second}) : Json();
  json["permute"] = options.permute;
  json["swaps"] = options.swaps;
  json["reconstruct"] = options.reconstruct_passes;
  if (options.reconstruct_passes > 0) json["reconstruct-lr"] = options.reconstruct_rate;
  if (!is_calibrated) return json;
  json["calibrate"] = options.inputs == Inputs::kSequential ? "sequential" : "dense";
  json["samples"] = calibration.samples;
  json["context"] = calibration.context;
  json["seed"] = calibration.seed;
  json["sampling"] = calibration.sampling == Sampling::kStream ? "stream" : "sparsegpt";
  json["dtype"] = tensor::dtype_name(options.dtype);
  json["sums"] = tensor::dtype_name(options.sums);
  json["damping"] = options.damping;
  json["block-columns"] = options.block_columns;
  json["ria-power"] = options.ria_power;
  json["admm-iterations"] = options.admm_iterations;
  return json;
}

}  // namespace twofour::prune
