#include "twofour/text/lines.h"

#include "twofour/base/error.h"

namespace twofour::text {

constexpr auto kNone = std::string_view::npos;

LineReader::LineReader(Input input, size_t largest_line)
    : input_(std::move(input)), largest_line_(largest_line) {}

bool LineReader::next(std::string_view& line) {
  while (next_of_any(line)) {
    ++number_;
    if (line.find_first_not_of(" \t\r") != kNone) return true;
  }
  return false;
}

bool LineReader::next_of_any(std::string_view& line) {
  constexpr size_t kChunk = 1 << 18;
  for (;;) {
    const size_t newline = buffer_.find('\n', searched_);
    if (newline != kNone) {
      line = std::string_view(buffer_).substr(begin_, newline - begin_);
      begin_ = searched_ = newline + 1;
      return true;
    }
    if (ended_) {
      line = std::string_view(buffer_).substr(begin_);
      begin_ = searched_ = buffer_.size();
      return !line.empty();
    }
    buffer_.erase(0, begin_);
    begin_ = 0;
    searched_ = buffer_.size();
    if (searched_ > largest_line_) {
      fail("cannot read {}: line {} is longer than {} bytes", input_.name(), number_ + 1,
           largest_line_);
    }
    buffer_.resize(searched_ + kChunk);
    const size_t got = input_.read(std::span(buffer_).subspan(searched_));
    buffer_.resize(searched_ + got);
    ended_ = got == 0;
  }
}

bool JsonLines::next(std::string& text) {
  std::string_view line;
  if (!lines_.next(line)) return false;
  try {
    text = json_.read(line);
  } catch (const Error& error) {
    fail("cannot read {}: line {} {}", lines_.input().name(), lines_.number(), error.what());
  }
  return true;
}

}  // namespace twofour::text
