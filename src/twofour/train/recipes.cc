#include "twofour/train/recipes.h"

#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "twofour/base/error.h"
#include "twofour/train/methods.h"

namespace twofour::train {
namespace {

// FST's paper has a λ of masked decay for each size.
struct Size {
  std::string_view model;
  const char* fst_decay;
};
constexpr Size kSizes[] = {{"gpt2-124m", "6e-05"},
                           {"gpt2-350m", "2e-04"},
                           {"gpt2-774m", "6e-05"},
                           {"gpt2-1558m", "2e-04"}};

}  // namespace

Recipe recipe_named(std::string_view name) {
  for (const Size& size : kSizes) {
    for (const Method& method : methods()) {
      if (name != fmt::format("{}-{}", size.model, method.name)) continue;
      Recipe recipe = {{"model", std::string(size.model)},
                       {"method", method.name},
                       {"dtype", "float16"},
                       {"context", "1024"},
                       {"batch", "8"},
                       {"accumulate", "64"},  // 512 sequences of 1024 tokens per step
                       {"steps", "300000"},
                       {"warmup", "3000"},
                       {"lr", "1.5e-4"},
                       {"min-lr", "1e-5"},
                       {"beta1", "0.9"},
                       {"weight-decay", "0.1"},
                       {"clip", "1"}};
      if (method.name == "fst") recipe.emplace_back("decay", size.fst_decay);
      return recipe;
    }
  }
  std::vector<std::string_view> models;
  for (const Size& size : kSizes) models.push_back(size.model);
  std::string known;
  for (const Method& method : methods()) known += (known.empty() ? "" : ", ") + method.name;
  fail_usage("unknown recipe \"{}\": a model ({}), a dash and a method ({}), as gpt2-124m-fst",
             printable(name), fmt::join(models, ", "), known);
}

}  // namespace twofour::train
