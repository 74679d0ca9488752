// The published pre-training runs by name (FST, arXiv 2404.01847, appendix; S-STE, arXiv
// 2409.09099, section 5).
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace twofour::train {

/// The flags of `twofour train` (long names) for a run, with their values.
using Recipe = std::vector<std::pair<std::string, std::string>>;

/// "MODEL-METHOD" for the four GPT-2 sizes and every method: gpt2-124m-fst. Throws Error (usage)
/// with the known names.
Recipe recipe_named(std::string_view name);

}  // namespace twofour::train
