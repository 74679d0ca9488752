// What is known of the fields of config.json, in one table.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace twofour::checkpoint {

/// What a field is to this program.
enum class FieldRole {
  kUsed,      ///< read for the family that has it; a value that is not computed here is refused
  kHarmless,  ///< changes nothing that is computed here
  kFixed,     ///< computed with the `supported` values only, others are refused
};

struct ConfigField {
  std::string name;
  FieldRole role;
  std::vector<nlohmann::json> supported;  ///< of kFixed; null stands for an absent field
};

/// Every field that transformers' configurations of the families have, in its versions 2 to 5, and
/// what else published config.json files hold; by name.
const std::vector<ConfigField>& config_fields();

/// Whether the name of a field that is not in the table sounds like arithmetic. Such a field may
/// belong to a model of the same family's name that computes something else.
bool suggests_arithmetic(std::string_view name);

}  // namespace twofour::checkpoint
