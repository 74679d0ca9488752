#include "twofour/base/error.h"

#include <gtest/gtest.h>

namespace twofour {
namespace {

TEST(Error, fail_formats_one_line_and_carries_the_exit_status) {
  try {
    fail("cannot read \"{}\": {}", "a.txt", 7);
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "cannot read \"a.txt\": 7");
    EXPECT_EQ(error.kind(), Error::kFailure);
  }
  try {
    fail_usage("unknown option");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), Error::kUsage);
  }
}

TEST(Error, printable_never_lets_control_characters_or_invalid_utf8_through) {
  EXPECT_EQ(printable("tab\there"), "tab\\x09here");
  EXPECT_EQ(printable("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f");
  EXPECT_EQ(printable("\xff\n"), "\\xff\\x0a");
  // A terminal's control sequences may begin with U+009B; U+0085, U+2028 and U+2029 end lines.
  EXPECT_EQ(printable("a\xc2\x85z"), "a\\xc2\\x85z");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m\xc2\xa0\x7f"),
            "\\xc2\\x9b"
            "31m\xc2\xa0\\x7f");
  EXPECT_EQ(printable("\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa"),
            "\xe2\x80\xa7\\xe2\\x80\\xa8\\xe2\\x80\\xa9\xe2\x80\xaa");
  EXPECT_EQ(printable("0123456789", 4), "0123…");
}

}  // namespace
}  // namespace twofour
