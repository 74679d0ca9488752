// Reads JSON files of a model folder with limits, because they may come from anyone.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace twofour::checkpoint {

/// `text` as a JSON object. Throws Error that begins with `cannot read "PATH": PART` for invalid
/// JSON, other values, more than 32 levels, and a name given twice in one object (readers disagree
/// on which counts). `part` names the part of the file ("its header").
nlohmann::json parse_json_object(std::string_view text, const std::filesystem::path& path,
                                 std::string_view part = "it");

/// The same for a whole file of at most 100 MB.
nlohmann::json read_json_object(const std::filesystem::path& path);

}  // namespace twofour::checkpoint
