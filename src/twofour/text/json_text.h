// The text in an object of JSON, read as Python's json.loads reads it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace simdjson::dom {
class parser;
}

namespace twofour::text {

/// Gives the string in one field of a JSON object. What Python takes is taken: numbers of any size,
/// NaN and Infinity, any depth, half surrogate pairs in other fields; of equal keys the last
/// counts.
class JsonText {
 public:
  explicit JsonText(std::string field);
  ~JsonText();
  JsonText(JsonText&&) noexcept;

  /// `json` is one value and nothing else. Throws Error with the reason alone, to be put behind a
  /// file and a line ("is no valid JSON at byte 3: …"), where Python's json does, where the value
  /// is no object with a string in the field, and where that string is no Unicode text (it has half
  /// of a surrogate pair, which no tokenizer takes).
  std::string read(std::string_view json);

  /// Whether read() would give a text.
  bool accepts(std::string_view json);
  /// Whether Python's json takes `json`, whatever it holds.
  static bool is_valid(std::string_view json);

  const std::string& field() const { return field_; }

 private:
  std::optional<std::string> read_fast(std::string_view json);
  std::string field_;
  std::unique_ptr<simdjson::dom::parser> parser_;
};

}  // namespace twofour::text
