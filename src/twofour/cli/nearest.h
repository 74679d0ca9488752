#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace twofour::cli {

/// The name in `known` that `typed` most likely means (fewest edits, at most a third of its
/// length), or "" if none is near.
std::string nearest(std::string_view typed, const std::vector<std::string>& known);

}  // namespace twofour::cli
