// A table of the known fields of config.json.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace twofour::checkpoint {

/// The treatment of a field by this program.
enum class FieldRole {
  kUsed,      ///< read for the family that has it; unsupported values are refused
  kHarmless,  ///< has no effect on the computation here
  kFixed,     ///< only the `supported` values are computed, others are refused
};

struct ConfigField {
  std::string name;
  FieldRole role;
  std::vector<nlohmann::json> supported;  ///< for kFixed; null means an absent field
};

/// Every field of transformers' configurations of the families, in its versions 2 to 5, and other
/// fields of published config.json files; by name.
const std::vector<ConfigField>& config_fields();

/// Whether the name of an unknown field sounds like arithmetic. Such a field may belong to a model
/// with the same family name and another computation.
bool suggests_arithmetic(std::string_view name);

}  // namespace twofour::checkpoint
