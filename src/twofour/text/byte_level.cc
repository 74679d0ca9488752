#include "twofour/text/byte_level.h"

#include "twofour/base/utf8.h"

namespace twofour::text {
namespace {

std::array<char32_t, 256> make_characters() {
  std::array<char32_t, 256> characters;
  char32_t next = 256;
  for (char32_t byte = 0; byte < 256; ++byte) {
    const bool printable =
        (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    characters[byte] = printable ? byte : next++;
  }
  return characters;
}

constexpr char32_t kCharacters = 0x144;  // one more than the last that stands for a byte

}  // namespace

const std::array<char32_t, 256>& byte_characters() {
  static const std::array<char32_t, 256> kTable = make_characters();
  return kTable;
}

std::string bytes_to_characters(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes)
    append_utf8(byte_characters()[static_cast<unsigned char>(byte)], text);
  return text;
}

std::optional<std::string> characters_to_bytes(std::string_view characters) {
  static const auto kBytes = [] {
    std::array<int, kCharacters> bytes;
    bytes.fill(-1);
    for (int byte = 0; byte < 256; ++byte)
      bytes[byte_characters()[static_cast<size_t>(byte)]] = byte;
    return bytes;
  }();
  std::string bytes;
  while (!characters.empty()) {
    const size_t length = utf8_sequence_length(characters);
    if (length == 0) return std::nullopt;
    const char32_t code = decode_utf8(characters, length);
    if (code >= kCharacters || kBytes[code] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(kBytes[code]));
    characters.remove_prefix(length);
  }
  return bytes;
}

}  // namespace twofour::text
