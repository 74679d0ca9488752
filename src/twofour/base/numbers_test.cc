#include "twofour/base/numbers.h"

#include <cstdint>

#include <gtest/gtest.h>

namespace twofour {
namespace {

TEST(ParseNumber, TakesPlainDecimalNumbers) {
  EXPECT_EQ(parse_number("0.25"), 0.25);
  EXPECT_EQ(parse_number("-1e3"), -1000.0);
  EXPECT_EQ(parse_number<int64_t>("-7"), -7);
  EXPECT_EQ(parse_number<uint64_t>("18446744073709551615"), UINT64_MAX);
}

TEST(ParseNumber, TakesNothingElse) {
  for (const char* text : {"", " 1", "1 ", "+1", "0x10", "1,5", "nan", "inf", "-inf", "1e999"}) {
    EXPECT_FALSE(parse_number(text)) << text;
  }
  for (const char* text : {"", "1.0", "1e3", "9223372036854775808"}) {
    EXPECT_FALSE(parse_number<int64_t>(text)) << text;
  }
  EXPECT_FALSE(parse_number<uint64_t>("-1"));
}

}  // namespace
}  // namespace twofour
