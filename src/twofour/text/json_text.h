// Reads the text in an object of JSON as Python's json.loads does.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace simdjson::dom {
class parser;
}

namespace twofour::text {

/// Gives the string in one field of a JSON object. Accepts what Python accepts: numbers of any
/// size, NaN and Infinity, any depth, half surrogate pairs in other fields. The last of equal keys
/// counts.
class JsonText {
 public:
  explicit JsonText(std::string field);
  ~JsonText();
  JsonText(JsonText&&) noexcept;

  /// `json` is one value and nothing else. Throws Error with the reason, to follow a file and a
  /// line ("is no valid JSON at byte 3: …"), if Python's json does, if the value is no object with
  /// a string in the field, or if that string is no Unicode text (it has half of a surrogate pair,
  /// which no tokenizer takes).
  std::string read(std::string_view json);

  /// Whether read() would give a text.
  bool accepts(std::string_view json);
  /// Whether Python's json accepts `json`, with or without a text.
  static bool is_valid(std::string_view json);

  const std::string& field() const { return field_; }

 private:
  std::optional<std::string> read_fast(std::string_view json);
  std::string field_;
  std::unique_ptr<simdjson::dom::parser> parser_;
};

}  // namespace twofour::text
