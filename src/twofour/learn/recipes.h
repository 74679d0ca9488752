// The published mask-learning runs by name (MaskLLM, arXiv 2409.17481, section 4 and its published
// scripts).
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace twofour::learn {

/// The flags of `twofour learn` (long names) for a run, with their values.
using Recipe = std::vector<std::pair<std::string, std::string>>;

/// maskllm-llama2-7b, maskllm-llama2-13b or maskllm-llama3-8b. Throws Error (usage) with the known
/// names.
Recipe recipe_named(std::string_view name);

}  // namespace twofour::learn
