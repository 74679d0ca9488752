#include "twofour/text/json_exact.h"

#include "twofour/base/error.h"
#include "twofour/base/utf8.h"

namespace twofour::text {
namespace {

struct JsonString {
  std::string text;
  size_t half_pair = std::string_view::npos;  // where a surrogate stands alone
};

// Walks one value from its first byte to its last, without recursion: depth costs a byte a level.
class Walk {
 public:
  Walk(std::string_view json, std::string_view field) : json_(json), field_(field) {}

  std::optional<std::string> run() {
    skip_space();
    take_value();
    while (!open_.empty()) open_.back() == '{' ? go_on_in_object() : go_on_in_array();
    skip_space();
    if (at_ < json_.size()) refuse("more follows the value");
    if (!found_) return std::nullopt;
    if (found_->half_pair != std::string_view::npos) {
      fail("has half of a surrogate pair in \"{}\" (at byte {}), which is no text: replace it",
           printable(field_), found_->half_pair + 1);
    }
    return std::move(found_->text);
  }

 private:
  [[noreturn]] void refuse(std::string_view reason) const {
    fail("is no valid JSON at byte {}: {}", at_ + 1, reason);
  }

  bool is_next(char c) const { return at_ < json_.size() && json_[at_] == c; }

  void skip_space() { at_ = std::min(json_.find_first_not_of(" \t\n\r", at_), json_.size()); }

  // Takes a whole scalar, or the opening of an object or array; run() takes the rest.
  void take_value() {
    is_first_ = false;
    if (is_next('{') || is_next('[')) {
      open_.push_back(json_[at_++]);
      is_first_ = true;
    } else if (is_next('"')) {
      JsonString string = take_string();
      if (is_wanted_) found_ = std::move(string);
    } else if (!take_word() && !take_number()) {
      refuse(at_ == json_.size() ? "it ends here" : "no value begins like this");
    }
    is_wanted_ = false;
  }

  bool take_word() {
    for (const std::string_view word : {"true", "false", "null", "NaN", "Infinity", "-Infinity"}) {
      if (!json_.substr(at_).starts_with(word)) continue;
      at_ += word.size();
      return true;
    }
    return false;
  }

  size_t take_digits() {
    const size_t begin = at_;
    while (at_ < json_.size() && json_[at_] >= '0' && json_[at_] <= '9') ++at_;
    return at_ - begin;
  }

  // As in Python's scanner, the "1" or "0" of "1.", "1e" or "01" is a number, followed by an error.
  bool take_number() {
    const size_t begin = at_;
    at_ += is_next('-');
    if (is_next('0')) {
      ++at_;
    } else if (take_digits() == 0) {
      at_ = begin;
      return false;
    }
    const auto take_part = [&](bool begins, auto&& before_digits) {
      const size_t end = at_;
      if (!begins) return;
      before_digits();
      if (take_digits() == 0) at_ = end;
    };
    take_part(is_next('.'), [&] { ++at_; });
    take_part(is_next('e') || is_next('E'), [&] {
      ++at_;
      at_ += is_next('+') || is_next('-');
    });
    return true;
  }

  void go_on_in_array() {
    skip_space();
    if (close(']')) return;
    if (!is_first_) take_comma();
    take_value();
  }

  void go_on_in_object() {
    skip_space();
    if (close('}')) return;
    if (!is_first_) take_comma();
    if (!is_next('"')) refuse("a key in double quotes must follow");
    const JsonString key = take_string();
    skip_space();
    if (!is_next(':')) refuse("\":\" must follow");
    ++at_;
    skip_space();
    is_wanted_ = open_.size() == 1 && key.half_pair == std::string_view::npos && key.text == field_;
    if (is_wanted_) found_.reset();
    take_value();
  }

  // After "{" and "[" alone, or after a whole value.
  bool close(char with) {
    if (!is_next(with)) return false;
    ++at_;
    open_.pop_back();
    is_first_ = false;
    return true;
  }

  void take_comma() {
    if (!is_next(',')) refuse("\",\" or the end of the object or array must follow");
    ++at_;
    skip_space();
  }

  JsonString take_string() {
    JsonString string;
    for (++at_;;) {
      const size_t plain = at_;
      while (at_ < json_.size() && json_[at_] != '"' && json_[at_] != '\\' &&
             static_cast<unsigned char>(json_[at_]) >= 0x20) {
        ++at_;
      }
      string.text += json_.substr(plain, at_ - plain);
      if (at_ == json_.size()) refuse("a string does not end");
      if (is_next('"')) {
        ++at_;
        return string;
      }
      if (!is_next('\\')) refuse("a string contains a control character");
      take_escape(string);
    }
  }

  void take_escape(JsonString& string) {
    constexpr std::string_view kNames = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
    const size_t begin = at_++;
    if (is_next('u')) {
      take_code_units(string, begin);
      return;
    }
    const size_t name = at_ < json_.size() ? kNames.find(json_[at_]) : std::string_view::npos;
    if (name == std::string_view::npos) refuse("no escape begins like this");
    ++at_;
    string.text += kMeanings[name];
  }

  // \uXXXX, or two of them that are a surrogate pair.
  void take_code_units(JsonString& string, size_t begin) {
    char32_t code = take_hexadecimal();
    if (code >= 0xd800 && code < 0xdc00 && json_.substr(at_).starts_with("\\u")) {
      const size_t end = at_++;
      const char32_t low = take_hexadecimal();
      if (low >= 0xdc00 && low < 0xe000) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
      } else {
        at_ = end;
      }
    }
    if (code >= 0xd800 && code < 0xe000) string.half_pair = std::min(string.half_pair, begin);
    append_utf8(code, string.text);
  }

  char32_t take_hexadecimal() {
    char32_t code = 0;
    for (int i = 0; i < 4; ++i) {
      ++at_;
      const char c = at_ < json_.size() ? json_[at_] : '\0';
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) refuse("\\u must be followed by four hexadecimal digits");
      code = code << 4 | static_cast<char32_t>(digit);
    }
    ++at_;
    return code;
  }

  std::string_view json_, field_;
  size_t at_ = 0;
  std::string open_;        // "{" and "[" around this place
  bool is_first_ = false;   // the innermost of them is still empty
  bool is_wanted_ = false;  // the next value is the field's
  std::optional<JsonString> found_;
};

}  // namespace

std::optional<std::string> read_json_exactly(std::string_view json, std::string_view field) {
  return Walk(json, field).run();
}

}  // namespace twofour::text
