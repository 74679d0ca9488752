#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "twofour/model/architectures.h"

namespace twofour::model {

/// Sizes for pre-training, by name. gpt2-…: the four published ones (Radford et al. 2019, table 2,
/// with the parameter counts of the released weights). llama-…: those of GaLore (Zhao et al., arXiv
/// 2403.03507, table 11) and SLoPe (arXiv 2405.16325). Throws Error (usage) with the known names.
ModelConfig preset(std::string_view name);

/// Their names.
std::vector<std::string> preset_names();

}  // namespace twofour::model
