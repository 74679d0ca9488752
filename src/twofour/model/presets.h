#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "twofour/model/gpt2.h"

namespace twofour::model {

/// The four published sizes by name: gpt2-124m, gpt2-350m, gpt2-774m, gpt2-1558m (Radford et al.
/// 2019, table 2, with the parameter counts of the released weights). Throws Error (usage) listing
/// them.
Gpt2Config preset(std::string_view name);

/// Their names.
std::vector<std::string> preset_names();

}  // namespace twofour::model
