#include "twofour/cli/toml.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "testing.h"

namespace twofour::cli {
namespace {

TEST(Toml, reads_values_of_every_kind) {
  const auto entries = read_toml(
      "# comment\n"
      "steps = 40  # of them\r\n"
      "\n"
      "lr=3e-4\n"
      "\"data\" = \"a # b\\t\\\"c\\\\ \\u00e9\"\n"
      "out = 'C:\\new'\n"
      "recompute = true\n"
      "files = [ \"a\", 'b' , 3, ]\n"
      "empty = ''\n"
      "[table]\n"
      "width = 3");
  ASSERT_EQ(entries.size(), 8u);
  EXPECT_EQ(entries[0].key, "steps");
  EXPECT_EQ(entries[0].values, std::vector<std::string>{"40"});
  EXPECT_EQ(entries[0].line, 2);
  EXPECT_EQ(entries[1].values, std::vector<std::string>{"3e-4"});
  EXPECT_EQ(entries[2].key, "data");
  EXPECT_EQ(entries[2].values, std::vector<std::string>{"a # b\t\"c\\ \u00e9"});
  EXPECT_EQ(entries[3].values, std::vector<std::string>{"C:\\new"});
  EXPECT_EQ(entries[4].values, std::vector<std::string>{"true"});
  EXPECT_EQ(entries[5].values, (std::vector<std::string>{"a", "b", "3"}));
  EXPECT_TRUE(entries[5].is_list);
  EXPECT_EQ(entries[6].values, std::vector<std::string>{""});
  EXPECT_EQ(entries[7].key, "table.width");
  EXPECT_EQ(entries[7].line, 11);
}

TEST(Toml, what_it_does_not_read_is_refused_with_the_line) {
  for (const auto& [text, reason] :
       {std::pair{"x = 1\nx = 2", "line 2: \"x\" is already in line 1"},
        {"x", "line 1: '=' is missing after the key"},
        {"x =", "line 1: a value is missing"},
        {"= 3", "line 1: a key is missing"},
        {"x = fst", "line 1: text must be in quotes: \"fst\""},
        {"x = 1 2", "line 1: \"2\" follows the value"},
        {"x = \"a", "line 1: the closing \" is missing"},
        {"x = \"\"\"a\"\"\"", "text over several lines"},
        {"x = {a = 1}", "does not begin a value"},
        {"x = [1", "']' is missing"},
        {"x = [[1]]", "does not begin a value"},
        {"[[x]]", "a list of tables"},
        {"x = \"\\q\"", "an unknown escape"},
        {"x = \"\\ud800\"", "an unknown escape"}}) {
    EXPECT_THAT_ERROR(read_toml(text), reason);
  }
}

TEST(Toml, what_is_written_is_read_back) {
  for (const char* value : {"40", "-3", "3e-4", "0.5", "true", "010", "1e3", ".5", "5.", "abc", "",
                            "a\"b\\c", "line\nend", "caf\u00e9", "#", "inf", "1_000", "-", "1 2"}) {
    const auto entries = read_toml(fmt::format("key = {}", to_toml(value)));
    ASSERT_EQ(entries.size(), 1u);
    EXPECT_EQ(entries[0].values, std::vector<std::string>{value});
  }
  EXPECT_EQ(to_toml("3e-4"), "3e-4");
  EXPECT_EQ(to_toml("5."), "\"5.\"");
}

}  // namespace
}  // namespace twofour::cli
