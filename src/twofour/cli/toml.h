// The part of TOML that a file of options needs: "key = value" lines, comments, text in either kind
// of quotes, numbers, true and false, lists on one line.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace twofour::cli {

struct TomlEntry {
  std::string key;                  ///< "table.key" below a [table]
  std::vector<std::string> values;  ///< text without its quotes, other values as they stand
  bool is_list = false;
  int64_t line = 0;
};

/// The entries in their order. Throws Error with the line for what is no TOML or none of the above
/// (dates, tables inside of lines, text over several lines) and for a key that is given twice.
std::vector<TomlEntry> read_toml(std::string_view text);

/// `value` as TOML: as it stands where it is a number, true or false, else in quotes.
std::string to_toml(std::string_view value);

}  // namespace twofour::cli
