// UTF-8 as the standard defines it (RFC 3629): no overlong forms, no surrogates, nothing above
// U+10FFFF.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace twofour {

/// The length (1 to 4) of the valid sequence that `text` begins with, 0 if it begins with none.
size_t utf8_sequence_length(std::string_view text);

/// The offset of the first byte that belongs to no valid sequence, or `npos` if all of it is valid.
size_t find_invalid_utf8(std::string_view text);

/// Appends the UTF-8 form of `code_point` (at most U+10FFFF).
void append_utf8(char32_t code_point, std::string& out);

/// The code point of the valid sequence of `length` bytes that `text` begins with.
char32_t decode_utf8(std::string_view text, size_t length);

}  // namespace twofour
