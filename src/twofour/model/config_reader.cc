#include "twofour/model/config_reader.h"

#include <algorithm>
#include <cmath>

#include "twofour/base/error.h"

namespace twofour::model {

using Json = nlohmann::json;

ConfigReader::ConfigReader(const Json& json, std::string what, std::string prefix)
    : json_(json), what_(std::move(what)), prefix_(std::move(prefix)) {}

void ConfigReader::refuse(const std::string& name, const std::string& reason) const {
  fail("{}: {}{} {}", what_, prefix_, printable(name), reason);
}

ConfigReader ConfigReader::inner(const std::string& name, const Json& object) const {
  return ConfigReader(object, what_, prefix_ + name + ".");
}

void ConfigReader::warn(const std::string& name, const std::string& what) {
  warnings_.push_back(fmt::format("{}{} {}", prefix_, printable(name), what));
}

bool ConfigReader::has(const std::string& name) const {
  return json_.contains(name) && !json_[name].is_null();
}

const Json& ConfigReader::any(const std::string& name) {
  static const Json none;
  known_.insert(name);
  return has(name) ? json_[name] : none;
}

int64_t ConfigReader::size(const std::string& name) {
  const Json& value = any(name);
  if (!value.is_number_integer()) refuse(name, "is missing or no whole number");
  const bool is_huge = value.is_number_unsigned() && value.get<uint64_t>() > (uint64_t{1} << 31);
  const auto size = value.get<int64_t>();
  if (is_huge || size <= 0) refuse(name, fmt::format("is {}, which no model has", text_of(value)));
  return size;
}

int64_t ConfigReader::size_or(const std::string& name, int64_t otherwise) {
  known_.insert(name);
  return has(name) ? size(name) : otherwise;
}

int64_t ConfigReader::size_unless_absent(const std::string& name, int64_t otherwise) {
  known_.insert(name);
  return is_absent(name) ? otherwise : size(name);
}

double ConfigReader::positive(const std::string& name, std::optional<double> otherwise) {
  const Json& value = any(name);
  if (value.is_null() && otherwise) return *otherwise;
  if (!value.is_number()) refuse(name, "is missing or no number");
  const auto number = value.get<double>();
  if (!(number > 0) || std::isinf(number)) {
    refuse(name, fmt::format("is {}, expected a number above 0", text_of(value)));
  }
  return number;
}

bool ConfigReader::flag(const std::string& name, bool otherwise) {
  const Json& value = any(name);
  if (value.is_null()) return otherwise;
  if (!value.is_boolean()) refuse(name, "is neither true nor false");
  return value.get<bool>();
}

std::string ConfigReader::text(const std::string& name, const std::string& otherwise) {
  const Json& value = any(name);
  if (value.is_null()) return otherwise;
  if (!value.is_string()) refuse(name, "is no text");
  return value.get<std::string>();
}

void ConfigReader::require(const std::string& name, const std::vector<Json>& supported) {
  const Json& value = any(name);
  if (value.is_null()) return;
  if (std::find(supported.begin(), supported.end(), value) == supported.end()) {
    refuse(name, fmt::format("{} is not supported", text_of(value)));
  }
}

void ConfigReader::ignore(const std::vector<std::string>& names) {
  known_.insert(names.begin(), names.end());
}

std::vector<std::string> ConfigReader::unknown() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : json_.items()) {
    if (!known_.count(name) && !name.starts_with("_") && !value.is_null()) names.push_back(name);
  }
  return names;
}

void ConfigReader::finish() const {
  for (const std::string& name : unknown()) refuse_unknown(name);
}

void ConfigReader::refuse_unknown(const std::string& name) const {
  refuse(name,
         "is not known here and might change what the model computes (if it does not, remove it)");
}

std::string text_of(const Json& value) {
  const double number = value.is_number_float() ? value.get<double>() : 0;
  if (std::isnan(number)) return "NaN";
  if (std::isinf(number)) return number < 0 ? "-Infinity" : "Infinity";
  return printable(value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

bool is_empty_value(const Json& value) {
  if (value.is_number()) return value == 0;
  if (value.is_string()) return value.get_ref<const std::string&>().empty();
  return value.is_null() || value == false || (value.is_structured() && value.empty());
}

}  // namespace twofour::model
