#include "twofour/learn/options.h"

#include <string_view>
#include <utility>

#include "twofour/base/error.h"
#include "twofour/base/numbers.h"
#include "twofour/kernels/soft_mask/candidates.h"

namespace twofour::learn {
namespace {

constexpr std::pair<train::Moments, const char*> kMoments[] = {
    {train::Moments::kFloat32, "float32"},
    {train::Moments::kBFloat16, "bfloat16"},
    {train::Moments::kEightBit, "8bit"}};

}  // namespace

train::TrainOptions default_train_options() {
  train::TrainOptions options;
  options.model.method.name = kMethodName;
  options.optimizer.steps = 2000;
  options.optimizer.learning_rate = 5e-5;
  options.optimizer.min_learning_rate = 5e-6;
  options.optimizer.warmup = 0;
  options.optimizer.epsilon = 1e-5;
  return options;
}

train::Moments moments_named(const std::string& name) {
  for (const auto& [moments, own] : kMoments) {
    if (name == own) return moments;
  }
  fail_usage("there are no moments \"{}\"", printable(name));
}

std::string name_of(train::Moments moments) {
  for (const auto& [each, name] : kMoments) {
    if (each == moments) return name;
  }
  fail("no such moments");
}

sparse::Pattern pattern_named(const std::string& text) {
  const std::string_view whole = text;
  const size_t colon = whole.find(':');
  const auto kept = parse_number<int64_t>(whole.substr(0, colon));
  const auto group =
      colon == std::string::npos ? std::nullopt : parse_number<int64_t>(whole.substr(colon + 1));
  if (!kept || !group) {
    fail_usage("\"{}\" is no pattern of a mask that can be learned: give N:M as 2:4",
               printable(text));
  }
  const kernels::Candidates candidates(*kept, *group);
  return {*kept, *group, 0};
}

void check(const LearnOptions& options) {
  const kernels::Candidates candidates(options.pattern.kept, options.pattern.group);
  const auto positive = [](const char* name, const Linear& values) {
    if (values.first > 0 && values.last > 0) return;
    fail_usage("--{0} and --{0}-end must be above 0", name);
  };
  positive("kappa", options.kappa);
  positive("tau", options.tau);
  if (options.distills_itself && options.trains_weights) {
    fail_usage(
        "--distill self needs frozen weights: leave --train-weights out, or name the folder");
  }
}

}  // namespace twofour::learn
