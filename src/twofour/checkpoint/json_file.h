// JSON files of a model folder, which may come from anyone: read with limits.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace twofour::checkpoint {

/// `text` as a JSON object. Throws Error that begins with `cannot read "PATH": PART` for no valid
/// JSON, no object, more than 32 levels, and a name that is given twice in one object (readers
/// disagree on which counts). `part` says which part of the file the text is ("its header").
nlohmann::json parse_json_object(std::string_view text, const std::filesystem::path& path,
                                 std::string_view part = "it");

/// A whole file, likewise; at most 100 MB.
nlohmann::json read_json_object(const std::filesystem::path& path);

}  // namespace twofour::checkpoint
