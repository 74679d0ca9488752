// GPT-2's way to write bytes as printable characters. Every byte has a code point, so pieces of any
// bytes can be written in JSON (Radford et al. 2019, section 2.2, and the encoder released with
// it).
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace twofour::text {

/// The code point that stands for each byte: printable Latin-1 for itself, the others from U+0100
/// on.
const std::array<char32_t, 256>& byte_characters();

/// Bytes as characters, UTF-8.
std::string bytes_to_characters(std::string_view bytes);

/// The inverse; none if a character stands for no byte.
std::optional<std::string> characters_to_bytes(std::string_view characters);

}  // namespace twofour::text
