#include "twofour/base/error.h"

#include <system_error>

#include "twofour/base/utf8.h"

namespace twofour {

std::string system_message(int error_number) {
  return std::generic_category().message(error_number);
}

std::string printable(std::string_view text, size_t limit) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    if (at >= limit) return out + "…";
    const size_t length = utf8_sequence_length(text.substr(at));
    const auto byte = static_cast<unsigned char>(text[at]);
    if (length == 0 || byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
      at += 1;
    } else {
      out += text.substr(at, length);
      at += length;
    }
  }
  return out;
}

}  // namespace twofour
