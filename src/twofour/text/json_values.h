// JSON that is not one record a line: an array of values, or one value over several lines.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "twofour/text/input.h"

namespace twofour::text {

/// Finds the end of a JSON object, array or string, piece by piece, from its brackets and quotes.
/// Does not check that it is valid.
class JsonExtent {
 public:
  /// Continues with `json`, which begins where the last call's ended. Returns the offset after the
  /// value's last byte, or npos while it is incomplete.
  size_t find_end(std::string_view json);

 private:
  int64_t depth_ = 0;
  bool in_string_ = false, escaped_ = false;
};

/// Gives the elements of a file that is one array, or the one value of any other, in memory of the
/// longest.
class JsonValues {
 public:
  explicit JsonValues(Input input, size_t largest_value = size_t{1} << 30);

  /// The next value as in the file, valid until the next call; false at the end. Throws Error,
  /// naming file and value, for mistakes between values and for one of more than `largest_value`
  /// bytes.
  bool next(std::string_view& value);

  /// Of the last value, from 1.
  int64_t number() const { return number_; }
  const Input& input() const { return input_; }

 private:
  static constexpr char kEnd = '\0';
  bool fill();
  char next_character();
  void take_value(std::string_view& value);
  bool finish();
  [[noreturn]] void refuse(const char* reason) const;

  Input input_;
  size_t largest_value_;
  std::string buffer_;
  size_t at_ = 0;
  int64_t number_ = 0;
  bool in_array_ = false;
};

}  // namespace twofour::text
