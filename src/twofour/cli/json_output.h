// The results of --json.
#pragma once

#include <nlohmann/json.hpp>

namespace twofour::cli {

/// Prints one line. Bytes that are not UTF-8, as paths may have, become U+FFFD.
void print_json_line(const nlohmann::ordered_json& json);

}  // namespace twofour::cli
