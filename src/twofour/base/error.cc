#include "twofour/base/error.h"

#include <system_error>

#include "twofour/base/utf8.h"

namespace twofour {

std::string system_message(int error_number) {
  return std::generic_category().message(error_number);
}

namespace {

// Of the sequence of `length` bytes that `text` begins with: 0 means none.
bool is_visible(std::string_view text, size_t length) {
  if (length == 0) return false;
  const char32_t code_point = decode_utf8(text, length);
  const bool is_control = code_point < 0x20 || (code_point >= 0x7f && code_point < 0xa0);
  const bool is_separator = code_point == 0x2028 || code_point == 0x2029;
  return !is_control && !is_separator;
}

}  // namespace

std::string printable(std::string_view text, size_t limit) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    if (at >= limit) return out + "…";
    const size_t length = utf8_sequence_length(text.substr(at));
    const std::string_view sequence = text.substr(at, length == 0 ? 1 : length);
    if (is_visible(sequence, length)) {
      out += sequence;
    } else {
      for (const char byte : sequence) {
        out += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
      }
    }
    at += sequence.size();
  }
  return out;
}

}  // namespace twofour
