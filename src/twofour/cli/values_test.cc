#include "twofour/cli/values.h"

#include <cstdint>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace twofour::cli {
namespace {

// The result of `--x=TYPED`: the value, or the message.
template <class T>
std::string given(const Range& range, const std::string& typed) {
  CLI::App app;
  T value{};
  add_number(app, "--x", value, range, "");
  try {
    app.parse(std::vector<std::string>{"--x=" + typed});  // as a shell passes it, with blanks
  } catch (const CLI::Error& error) {
    return error.what();
  }
  if constexpr (std::is_same_v<T, std::optional<int64_t>>)
    return fmt::format("{}", value.value());
  else
    return fmt::format("{}", value);
}

TEST(Values, numbers_are_plain_decimal) {
  for (const char* bad :
       {"+5", " 5", "5 ", "0x10", "1e3", "5.0", "five", "5k", "9223372036854775808",
        "99999999999999999999999", "--5", "1_000", "\xef\xbc\x95"}) {
    EXPECT_NE(given<int64_t>(at_least(0), bad).find("must be a whole number, 0 or more"),
              std::string::npos)
        << bad;
  }
  for (const char* bad :
       {"nan", "inf", "-inf", "+5", " 5", "5 ", "0x1p3", "1e400", "1,5", "infinity", "1e", "."}) {
    EXPECT_NE(given<double>(at_least(0), bad).find("must be a number, 0 or more"),
              std::string::npos)
        << bad;
  }
  EXPECT_EQ(given<int64_t>(at_least(0), "010"), "10");  // not octal
  EXPECT_EQ(given<std::optional<int64_t>>(at_least(0), "7"), "7");
  EXPECT_EQ(given<double>(at_least(0), "1e-3"), "0.001");
  EXPECT_EQ(given<uint64_t>(at_least(0), "18446744073709551615"), "18446744073709551615");
  EXPECT_NE(given<uint64_t>(at_least(0), "-1").find("must be"), std::string::npos);
  EXPECT_NE(given<uint64_t>(at_least(0), "18446744073709551616").find("must be"),
            std::string::npos);
}

TEST(Values, a_range_holds_its_bounds_or_not) {
  EXPECT_EQ(given<int64_t>(between(1, 4), "4"), "4");
  EXPECT_EQ(given<int64_t>(between(1, 4), "5"),
            "--x: must be a whole number, 1 to 4, but is \"5\"");
  EXPECT_EQ(given<double>(above(0), "0"), "--x: must be a number, above 0, but is \"0\"");
  EXPECT_EQ(given<double>(proper_share(), "1"),
            "--x: must be a number, 0 or more, below 1, but is \"1\"");
  EXPECT_EQ(given<double>(proper_share(), "0"), "0");
  const Range inner = {.low = 0, .high = 1, .without_low = true, .without_high = true};
  EXPECT_EQ(given<double>(inner, "0"), "--x: must be a number, above 0, below 1, but is \"0\"");
}

TEST(Values, dtypes_have_other_names_and_are_spelt_one_way) {
  for (const auto& [typed, meant] : {std::pair{"bf16", "bfloat16"},
                                     {"fp16", "float16"},
                                     {"half", "float16"},
                                     {"fp32", "float32"},
                                     {"bfloat16", "bfloat16"}}) {
    CLI::App app;
    std::string dtype = "float32";
    add_dtype(app, "--dtype", dtype, "");
    app.parse(fmt::format("--dtype {}", typed));
    EXPECT_EQ(dtype, meant);
  }
}

TEST(Values, a_choice_names_the_nearest) {
  CLI::App app;
  std::string value;
  CLI::Option* option = add_choice(app, "--x", value, {"packed", "dense"}, "");
  EXPECT_EQ(choices_of(*option), (std::vector<std::string>{"packed", "dense"}));
  try {
    app.parse("--x packd");
    FAIL();
  } catch (const CLI::ValidationError& error) {
    EXPECT_STREQ(error.what(),
                 "--x: must be packed or dense, but is \"packd\", did you mean \"packed\"?");
  }
}

}  // namespace
}  // namespace twofour::cli
