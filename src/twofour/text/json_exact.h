// Inside text/: the grammar of Python's json.loads, slower than simdjson's and wider.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace twofour::text {

/// The string in `field` of an object, the last one if the key appears twice. Nothing if the value
/// is no object or the field is absent or no string. `json` is valid UTF-8. Throws Error as
/// JsonText::read does if Python refuses it, and for half a surrogate pair in the field.
std::optional<std::string> read_json_exactly(std::string_view json, std::string_view field);

}  // namespace twofour::text
