// Lines of a text, for files that hold one record a line.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "twofour/text/input.h"
#include "twofour/text/json_text.h"

namespace twofour::text {

/// Gives the lines of an input that are not blank, in memory of the longest.
class LineReader {
 public:
  explicit LineReader(Input input, size_t largest_line = size_t{1} << 30);

  /// The next line, without its end, valid until the next call; false at the end. Throws Error for
  /// one of more than `largest_line` bytes.
  bool next(std::string_view& line);

  /// Of the last line, blank ones counted, from 1.
  int64_t number() const { return number_; }
  const Input& input() const { return input_; }

 private:
  bool next_of_any(std::string_view& line);
  Input input_;
  size_t largest_line_;
  std::string buffer_;
  size_t begin_ = 0, searched_ = 0;
  int64_t number_ = 0;
  bool ended_ = false;
};

/// The texts of JSON lines: of each line the string in one field (JsonText says which JSON is
/// read).
class JsonLines {
 public:
  JsonLines(LineReader lines, std::string field)
      : lines_(std::move(lines)), json_(std::move(field)) {}

  /// The next text; false at the end. Throws Error naming file and line.
  bool next(std::string& text);
  const LineReader& lines() const { return lines_; }

 private:
  LineReader lines_;
  JsonText json_;
};

}  // namespace twofour::text
