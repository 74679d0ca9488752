// Inside text/: reads the JSON files of a tokenizer. Errors name file and place.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "twofour/base/file.h"

namespace twofour::text {

using Json = nlohmann::json;  // ordered_json searches keys one by one: minutes for a vocabulary

/// The largest id of any tokenizer: a few times the largest vocabularies.
inline constexpr int32_t kLargestId = (1 << 21) - 1;

/// Throws Error `cannot read "PATH": REASON`.
[[noreturn]] void refuse(const fs::path& path, const std::string& reason);

/// A JSON object, nested at most 100 deep.
Json parse_object(const fs::path& path, const std::string& content);

/// The same; `keys` gets the names of its members in the file's order.
Json parse_object(const fs::path& path, const std::string& content, std::vector<std::string>& keys);

/// Throws unless the field has one of the given values or is absent or null.
void require(const fs::path& path, const Json& object, const char* field,
             const std::vector<Json>& supported);

/// The "type" of a component; empty if it has none.
std::string type_of(const Json& component);

bool read_flag(const fs::path& path, const Json& object, const char* field, bool otherwise);
/// Empty when the field is absent or null.
std::string read_string(const fs::path& path, const Json& object, const char* field);
int32_t read_id(const fs::path& path, const Json& value, const std::string& piece);

}  // namespace twofour::text
