#include "twofour/base/utf8.h"

#include <gtest/gtest.h>

namespace twofour {
namespace {

TEST(Utf8, every_code_point_round_trips) {
  for (char32_t code = 0; code <= 0x10ffff; ++code) {
    if (code >= 0xd800 && code <= 0xdfff) continue;
    std::string text;
    append_utf8(code, text);
    ASSERT_EQ(utf8_sequence_length(text), text.size()) << std::hex << uint32_t{code};
    ASSERT_EQ(decode_utf8(text, text.size()), code);
  }
}

TEST(Utf8, what_the_standard_forbids_is_found) {
  // RFC 3629 section 3: overlong forms, surrogates, above U+10FFFF, lone and missing continuations.
  for (std::string_view bad : {"\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                               "\x80", "\xc3", "\xe2\x82", "\xf8\x88\x80\x80\x80", "\xff"}) {
    EXPECT_EQ(find_invalid_utf8(std::string("valid text ") + std::string(bad)), 11u);
  }
  EXPECT_EQ(find_invalid_utf8("eight by\xe2\x82\xac and more"), std::string_view::npos);
}

}  // namespace
}  // namespace twofour
