#include "twofour/learn/recipes.h"

#include "twofour/base/error.h"

namespace twofour::learn {
namespace {

// The three runs differ only in AdamW's epsilon, which the one for LLaMA-3 leaves at its default.
struct Run {
  std::string_view name;
  const char* epsilon;
};
constexpr Run kRuns[] = {
    {"maskllm-llama2-7b", "1e-5"}, {"maskllm-llama2-13b", "1e-5"}, {"maskllm-llama3-8b", "1e-8"}};

}  // namespace

Recipe recipe_named(std::string_view name) {
  std::string known;
  for (const Run& run : kRuns) {
    if (name == run.name) {
      return {{"pattern", "2:4"},    {"prior", "sparsegpt"},   {"prior-strength", "3"},
              {"kappa", "100"},      {"kappa-end", "500"},     {"tau", "4"},
              {"tau-end", "0.05"},   {"weight-reg", "1e-5"},   {"logits-lr-factor", "10"},
              {"dtype", "bfloat16"}, {"context", "4096"},      {"batch", "1"},
              {"accumulate", "256"}, {"steps", "2000"},        {"warmup", "0"},
              {"lr", "5e-5"},        {"min-lr", "5e-6"},       {"beta1", "0.9"},
              {"beta2", "0.95"},     {"epsilon", run.epsilon}, {"weight-decay", "0.1"},
              {"clip", "1"}};
    }
    known += (known.empty() ? "" : ", ") + std::string(run.name);
  }
  fail_usage("unknown recipe \"{}\": known are {}", printable(name), known);
}

}  // namespace twofour::learn
