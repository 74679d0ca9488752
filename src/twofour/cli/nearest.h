#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace twofour::cli {

/// The name of `known` that `typed` was most likely meant as (fewest edits, at most a third of its
/// length), or "" if none is near.
std::string nearest(std::string_view typed, const std::vector<std::string>& known);

}  // namespace twofour::cli
