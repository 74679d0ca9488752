// Reads a JSON object field by field, so that no field is overlooked.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace twofour::model {

/// Every function throws Error naming file and field. A field that is null counts as absent.
class ConfigReader {
 public:
  /// `what` for messages: "cannot load \"m/config.json\"". `json` is an object and must outlive
  /// this.
  ConfigReader(const nlohmann::json& json, std::string what, std::string prefix = "");

  bool has(const std::string& name) const;
  /// Whether there is no such field, not even null.
  bool is_absent(const std::string& name) const { return !json_.contains(name); }

  /// A whole number in [1, 2^31].
  int64_t size(const std::string& name);
  int64_t size_or(const std::string& name, int64_t otherwise);
  /// The same, but null does not count as absent and is refused.
  int64_t size_unless_absent(const std::string& name, int64_t otherwise);
  /// A number above 0.
  double positive(const std::string& name, std::optional<double> otherwise = {});
  bool flag(const std::string& name, bool otherwise);
  std::string text(const std::string& name, const std::string& otherwise);
  /// The unchanged field; null if absent.
  const nlohmann::json& any(const std::string& name);

  /// Requires the field to be absent or to have one of these values, for which the result is right.
  void require(const std::string& name, const std::vector<nlohmann::json>& supported);
  /// Fields that affect no result.
  void ignore(const std::vector<std::string>& names);
  /// The fields that were not read, required or ignored, unless they are null or begin with "_".
  std::vector<std::string> unknown() const;
  /// Refuses the first of unknown().
  void finish() const;
  [[noreturn]] void refuse_unknown(const std::string& name) const;

  /// A reader of the object in field `name`; its messages name both.
  ConfigReader inner(const std::string& name, const nlohmann::json& object) const;

  /// Adds a warning about a field that is read but only partly applied.
  void warn(const std::string& name, const std::string& what);
  const std::vector<std::string>& warnings() const { return warnings_; }

  /// Refuses the value of a field.
  [[noreturn]] void refuse(const std::string& name, const std::string& reason) const;

 private:
  const nlohmann::json& json_;
  std::string what_, prefix_;
  std::set<std::string> known_;
  std::vector<std::string> warnings_;
};

/// A value for messages, printable and cut; NaN and infinite numbers as Python writes them.
std::string text_of(const nlohmann::json& value);

/// null, false, 0, "", [] or {}: the false values of Python.
bool is_empty_value(const nlohmann::json& value);

}  // namespace twofour::model
