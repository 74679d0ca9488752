// The part of TOML that an options file needs: "key = value" lines, comments, text in either kind
// of quotes, numbers, true and false, lists on one line.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace twofour::cli {

struct TomlEntry {
  std::string key;                  ///< "table.key" below a [table]
  std::vector<std::string> values;  ///< text without its quotes; other values unchanged
  bool is_list = false;
  int64_t line = 0;
};

/// The entries in order. Throws Error with the line for invalid TOML, for other TOML (dates, inline
/// tables, text over several lines) and for a repeated key.
std::vector<TomlEntry> read_toml(std::string_view text);

/// `value` as TOML: unchanged if it is a number, true or false, else in quotes.
std::string to_toml(std::string_view value);

}  // namespace twofour::cli
