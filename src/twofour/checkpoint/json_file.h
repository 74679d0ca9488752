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

/// The same, but NaN, Infinity and -Infinity are numbers, as in Python, which writes them.
nlohmann::json parse_python_object(std::string_view text, const std::filesystem::path& path);

/// The same with the fields in the order of the text.
nlohmann::ordered_json parse_ordered_object(std::string_view text,
                                            const std::filesystem::path& path);

/// parse_python_object of a whole file of at most 100 MB.
nlohmann::json read_json_object(const std::filesystem::path& path);

/// Text that parse_ordered_object reads back, also for numbers that are not finite; on one line if
/// `indent` is -1.
std::string python_json(const nlohmann::ordered_json& json, int indent = 2);

}  // namespace twofour::checkpoint
