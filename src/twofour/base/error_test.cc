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
  EXPECT_EQ(printable("0123456789", 4), "0123…");
}

}  // namespace
}  // namespace twofour
