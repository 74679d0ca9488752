#include "twofour/cli/toml.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <regex>

#include "twofour/base/error.h"
#include "twofour/base/utf8.h"

namespace twofour::cli {
namespace {

bool is_bare_key(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-';
}

bool is_bare_value(std::string_view text) {
  static const std::regex kNumber(R"(-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?)");
  return text == "true" || text == "false" || std::regex_match(text.begin(), text.end(), kNumber);
}

// Reads one line from beginning to end.
class LineReader {
 public:
  LineReader(std::string_view rest, int64_t number) : rest_(rest), number_(number) {}

  template <class... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) const {
    fail("line {}: {}", number_, fmt::format(format, std::forward<Args>(args)...));
  }

  // Whether only a comment is left.
  bool is_done() {
    skip_blanks();
    return rest_.empty() || rest_.front() == '#';
  }

  bool take(char wanted) {
    skip_blanks();
    if (rest_.empty() || rest_.front() != wanted) return false;
    rest_.remove_prefix(1);
    return true;
  }

  void expect(char wanted, const char* where) {
    if (!take(wanted)) refuse("'{}' is missing {}", wanted, where);
  }

  // Names and the dots between them.
  std::string key() {
    std::string key;
    do {
      skip_blanks();
      if (!key.empty()) key += '.';
      key += is_quote() ? quoted() : bare_key();
    } while (take('.'));
    return key;
  }

  std::string value() {
    skip_blanks();
    if (is_quote()) return quoted();
    const size_t length = std::min(rest_.find_first_of(" \t,]#"), rest_.size());
    const std::string text(rest_.substr(0, length));
    if (text.empty()) refuse("a value is missing");
    const char first = text.front();
    if (first == '{' || first == '[') refuse("\"{}\" does not begin a value", first);
    const bool is_word = std::isalpha(static_cast<unsigned char>(first)) != 0;
    if (is_word && text != "true" && text != "false" && text != "inf" && text != "nan") {
      refuse("text must be in quotes: \"{}\"", printable(text));
    }
    rest_.remove_prefix(length);
    return text;
  }

  void end() {
    if (!is_done()) refuse("\"{}\" follows the value", printable(rest_));
  }

 private:
  void skip_blanks() {
    const size_t blanks = std::min(rest_.find_first_not_of(" \t"), rest_.size());
    rest_.remove_prefix(blanks);
  }

  bool is_quote() const { return rest_.starts_with('"') || rest_.starts_with('\''); }

  std::string bare_key() {
    size_t length = 0;
    while (length < rest_.size() && is_bare_key(rest_[length])) ++length;
    if (length == 0) refuse("a key is missing before \"{}\"", printable(rest_));
    std::string key(rest_.substr(0, length));
    rest_.remove_prefix(length);
    return key;
  }

  std::string quoted() {
    const char quote = rest_.front();
    if (rest_.starts_with(std::string(3, quote)))
      refuse("text over several lines is not supported");
    rest_.remove_prefix(1);
    std::string text;
    for (;;) {
      if (rest_.empty()) refuse("the closing {} is missing", quote);
      const char c = rest_.front();
      if (c == quote) break;
      if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f) {
        refuse("control character \"{}\" in text", printable(std::string_view(&c, 1)));
      }
      rest_.remove_prefix(1);
      if (c == '\\' && quote == '"') {
        append_escaped(text);
      } else {
        text += c;
      }
    }
    rest_.remove_prefix(1);
    return text;
  }

  void append_escaped(std::string& text) {
    static const std::map<char, char> kEscapes = {
        {'b', '\b'}, {'t', '\t'}, {'n', '\n'}, {'f', '\f'}, {'r', '\r'}, {'"', '"'}, {'\\', '\\'}};
    const char c = rest_.empty() ? '\0' : rest_.front();
    const size_t digits = c == 'u' ? 4 : c == 'U' ? 8 : 0;
    const auto found = kEscapes.find(c);
    if (found != kEscapes.end()) {
      text += found->second;
    } else {
      const std::string hex(rest_.substr(std::min<size_t>(1, rest_.size()), digits));
      const bool is_hex = digits > 0 && hex.size() == digits &&
                          hex.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
      const unsigned long code = is_hex ? std::stoul(hex, nullptr, 16) : 0x110000;
      if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        refuse("an unknown escape after \\");
      append_utf8(static_cast<char32_t>(code), text);
    }
    rest_.remove_prefix(1 + digits);
  }

  std::string_view rest_;
  int64_t number_;
};

TomlEntry read_entry(LineReader& line, const std::string& table, int64_t number) {
  TomlEntry entry;
  entry.key = table + line.key();
  entry.line = number;
  line.expect('=', "after the key");
  if (line.take('[')) {
    entry.is_list = true;
    while (!line.take(']')) {
      entry.values.push_back(line.value());
      if (line.take(',')) continue;
      line.expect(']', "at the end of the list");
      break;
    }
  } else {
    entry.values.push_back(line.value());
  }
  line.end();
  return entry;
}

}  // namespace

std::vector<TomlEntry> read_toml(std::string_view text) {
  std::vector<TomlEntry> entries;
  std::map<std::string, int64_t> lines;
  std::string table;
  int64_t number = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view content = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (content.ends_with('\r')) content.remove_suffix(1);
    LineReader line(content, ++number);
    if (line.is_done()) continue;
    if (line.take('[')) {
      if (line.take('[')) line.refuse("a list of tables is not supported");
      table = line.key() + ".";
      line.expect(']', "after the table's name");
      line.end();
      continue;
    }
    TomlEntry entry = read_entry(line, table, number);
    const auto [first, is_new] = lines.try_emplace(entry.key, number);
    if (!is_new) line.refuse("\"{}\" is already in line {}", printable(entry.key), first->second);
    entries.push_back(std::move(entry));
  }
  return entries;
}

std::string to_toml(std::string_view value) {
  if (is_bare_value(value)) return std::string(value);
  std::string text = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') {
      text += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      text += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    } else {
      text += c;
    }
  }
  return text + "\"";
}

}  // namespace twofour::cli
