#include "twofour/text/json_values.h"

#include <algorithm>

#include "twofour/base/error.h"

namespace twofour::text {

size_t JsonExtent::find_end(std::string_view json) {
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (escaped_) {
      escaped_ = false;
    } else if (in_string_) {
      escaped_ = c == '\\';
      in_string_ = c != '"';
    } else if (c == '"') {
      in_string_ = true;
    } else if (c == '{' || c == '[') {
      ++depth_;
    } else if (c == '}' || c == ']') {
      --depth_;
    }
    if (depth_ <= 0 && !in_string_ && (c == '}' || c == ']' || c == '"')) return i + 1;
  }
  return std::string_view::npos;
}

JsonValues::JsonValues(Input input, size_t largest_value)
    : input_(std::move(input)), largest_value_(largest_value) {}

bool JsonValues::fill() {
  constexpr size_t kChunk = 1 << 18;
  const size_t used = buffer_.size();
  buffer_.resize(used + kChunk);
  buffer_.resize(used + input_.read(std::span(buffer_).subspan(used)));
  return buffer_.size() > used;
}

// The next character other than white space, not taken; kEnd after the last.
char JsonValues::next_character() {
  for (;;) {
    at_ = std::min(buffer_.find_first_not_of(" \t\n\r", at_), buffer_.size());
    if (at_ < buffer_.size()) return buffer_[at_];
    buffer_.clear();
    at_ = 0;
    if (!fill()) return kEnd;
  }
}

void JsonValues::refuse(const char* reason) const {
  fail("cannot read {}: behind value {} {}", input_.name(), number_, reason);
}

bool JsonValues::next(std::string_view& value) {
  const char first = next_character();
  if (number_ == 0 && !in_array_) {
    in_array_ = first == '[';
    if (first == kEnd) return false;
    if (in_array_) {
      ++at_;
      if (next_character() == ']') return finish();
    }
  } else if (!in_array_) {
    if (first == kEnd) return false;
    refuse("another follows: write one a line, jq -c . FILE | twofour … -");
  } else if (first == ']') {
    return finish();
  } else if (first != ',') {
    refuse(first == kEnd ? "the array ends early" : "\",\" or \"]\" must follow");
  } else {
    ++at_;
    next_character();
  }
  ++number_;
  take_value(value);
  return true;
}

void JsonValues::take_value(std::string_view& value) {
  buffer_.erase(0, at_);
  at_ = 0;
  const char first = next_character();
  const bool has_end = first == '{' || first == '[' || first == '"';
  JsonExtent extent;
  for (size_t searched = at_;; searched = buffer_.size()) {
    const std::string_view rest = std::string_view(buffer_).substr(searched);
    // A number or a word ends before the next separator.
    size_t end = has_end ? extent.find_end(rest) : rest.find_first_of(", \t\n\r]}");
    const bool is_larger = buffer_.size() - at_ > largest_value_;
    if (end == std::string_view::npos && (is_larger || !fill())) {
      if (is_larger) refuse("one is too long");
      end = rest.size();
    } else if (end == std::string_view::npos) {
      continue;
    }
    const size_t begin = at_;
    at_ = searched + end;
    value = std::string_view(buffer_).substr(begin, at_ - begin);
    return;
  }
}

bool JsonValues::finish() {
  ++at_;
  if (next_character() != kEnd) refuse("and the end of the array more follows");
  // A further call meets the end again.
  in_array_ = false;
  number_ = std::max<int64_t>(number_, 1);
  return false;
}

}  // namespace twofour::text
