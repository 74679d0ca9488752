#include "twofour/prune/layer_plan.h"

#include <algorithm>
#include <optional>

#include "twofour/base/error.h"
#include "twofour/text/regex.h"

namespace twofour::prune {
namespace {

// A regular expression that must match a layer at some time.
class NamePattern {
 public:
  NamePattern(std::string option, const std::string& text)
      : option_(std::move(option)), text_(text), regex_(text::regex_of_option(option_, text)) {}

  bool matches(const std::string& name) {
    const bool is_match = regex_.search(name, 0).has_value();
    has_matched_ |= is_match;
    return is_match;
  }

  void check_has_matched(const std::string& example) const {
    if (has_matched_) return;
    fail_usage("{} \"{}\" matches no layer: their weights are named as \"{}\"", option_,
               printable(text_), example);
  }

 private:
  std::string option_, text_;
  text::Regex regex_;
  bool has_matched_ = false;
};

std::vector<NamePattern> name_patterns(const std::string& option,
                                       const std::vector<std::string>& texts) {
  std::vector<NamePattern> patterns;
  for (const std::string& text : texts) patterns.emplace_back(option, text);
  return patterns;
}

// Asks all of them, so that each knows whether it ever matched.
bool any_matches(std::vector<NamePattern>& patterns, const std::string& name) {
  bool any = false;
  for (NamePattern& pattern : patterns) any |= pattern.matches(name);
  return any;
}

class Planner {
 public:
  explicit Planner(const PruneOptions& options)
      : options_(options),
        include_(name_patterns("--include", options.include)),
        exclude_(name_patterns("--exclude", options.exclude)) {
    for (const LayerRule& rule : options.rules) rules_.emplace_back("rule", rule.match);
  }

  // The reason not to prune the layer, or none and its pattern.
  std::string decide(const std::string& name, int64_t block, int64_t columns,
                     sparse::Pattern& pattern) {
    example_ = name;
    has_chosen_ = false;
    const bool is_included = include_.empty() || any_matches(include_, name);
    const bool is_excluded = any_matches(exclude_, name);
    std::optional<sparse::Pattern> own = options_.pattern;
    bool is_decided = false;
    for (size_t i = 0; i < rules_.size(); ++i) {
      if (!rules_[i].matches(name) || is_decided) continue;
      own = options_.rules[i].pattern;
      is_decided = true;
    }
    if (options_.blocks && (block < options_.blocks->first || block > options_.blocks->second)) {
      return "outside --blocks";
    }
    if (is_excluded) return "matches --exclude";
    if (!is_included) return "does not match --include";
    if (!own) return "a rule keeps it dense";
    has_chosen_ = true;
    if (own->is_structured() && columns % own->group != 0) {
      return fmt::format("its {} columns are not a multiple of {}", columns, own->group);
    }
    pattern = *own;
    return "";
  }

  // Whether the last decision was not against the layer's name or block.
  bool has_chosen() const { return has_chosen_; }

  void check_all_have_matched() const {
    for (const auto* patterns : {&include_, &exclude_, &rules_}) {
      for (const NamePattern& pattern : *patterns) pattern.check_has_matched(example_);
    }
  }

 private:
  const PruneOptions& options_;
  std::vector<NamePattern> include_, exclude_, rules_;
  std::string example_;
  bool has_chosen_ = false;
};

void check_blocks(const PruneOptions& options, int64_t layers) {
  if (!options.blocks) return;
  const auto [first, last] = *options.blocks;
  if (first >= 0 && first <= last && last < layers) return;
  fail_usage("--blocks {}-{}: the model has blocks 0 to {}", first, last, layers - 1);
}

}  // namespace

int64_t LayerPlan::last_block() const {
  int64_t last = -1;
  for (size_t i = 0; i < blocks.size(); ++i) {
    if (!blocks[i].empty()) last = static_cast<int64_t>(i);
  }
  return last;
}

LayerPlan plan_layers(const model::ModelConfig& config, const PruneOptions& options) {
  model::Model shapes = model::make_shapes(config);
  check_blocks(options, shapes.layers());
  Planner planner(options);
  LayerPlan plan;
  std::string first_reason;
  std::map<std::string, int64_t> columns_of;
  shapes.visit_linears([&](const std::string& name, model::Linear& layer) {
    columns_of[name] = layer.weight.size(1);
  });
  std::map<std::string, bool> is_in_block;
  for (int64_t i = 0; i < shapes.layers(); ++i) {
    auto& chosen = plan.blocks.emplace_back();
    shapes.visit_block_linears(i, [&](const std::string& name, model::Linear&) {
      is_in_block[name] = true;
      sparse::Pattern pattern;
      const std::string reason = planner.decide(name, i, columns_of.at(name), pattern);
      if (reason.empty()) {
        chosen.emplace(name, pattern);
      } else {
        const bool was_chosen = planner.has_chosen();
        plan.skipped.push_back({name, reason, was_chosen});
        if (first_reason.empty() || was_chosen) {
          first_reason = fmt::format("\"{}\": {}", name, reason);
        }
      }
    });
  }
  planner.check_all_have_matched();
  shapes.visit_linears([&](const std::string& name, model::Linear&) {
    if (!is_in_block.contains(name)) plan.skipped.push_back({name, "outside the blocks"});
  });
  shapes.visit_frame([&](const std::string& name, at::Tensor& tensor) {
    if (tensor.dim() != 2 || columns_of.contains(name)) return;
    plan.skipped.push_back({name, "an embedding or the output matrix, which stay dense"});
  });
  if (plan.last_block() < 0) fail_usage("there is no layer to prune: {}", first_reason);
  return plan;
}

}  // namespace twofour::prune
