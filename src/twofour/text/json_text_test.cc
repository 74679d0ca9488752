#include "twofour/text/json_text.h"

#include <gtest/gtest.h>

#include "twofour/text/json_exact.h"

#include "testing.h"

namespace twofour::text {
namespace {

// json_lines_test.py compares with Python's json on random lines; these are the kinds by name.
TEST(JsonText, takes_what_pythons_json_takes) {
  JsonText json("text");
  const std::string big(4000, '9');
  const std::string deep = std::string(5000, '[') + std::string(5000, ']');
  for (const std::string& line : std::vector<std::string>{
           R"({"text": "t"})",
           R"({"n": )" + big + R"(, "text": "t"})",
           R"({"n": [-1e999, 1E+5, -0, 0.5], "text": "t"})",
           R"({"n": [NaN, Infinity, -Infinity], "text": "t"})",
           R"({"text": "first", "text": 3, "text": "t"})",
           R"({"text": "first", "\u0074ext": "t"})",
           R"({"text": "t", "a": {"text": "inner"}, "b": ["text", {"text": 1}]})",
           R"({"half": "\ud83d", "\udc00": 1, "text": "t"})",
           R"({"n": NaN, "text": "\u0074"})",
           R"({"deep": )" + deep + R"(, "text": "t"})",
           " \t\r\n{ \"text\"\n:\t\"t\" } \r\n",
       }) {
    EXPECT_EQ(json.read(line), "t") << line.substr(0, 80);
    EXPECT_EQ(read_json_exactly(line, "text"), "t") << line.substr(0, 80);
  }
  EXPECT_EQ(json.read(R"({"a": NaN, "text": "\ud83d\ude00 \n\/\"\\"})"),
            "\xf0\x9f\x98\x80 \n/\"\\");
  EXPECT_EQ(json.read("{\"text\": \"\x7f\"}"), "\x7f");
}

TEST(JsonText, refuses_what_pythons_json_refuses_and_says_where) {
  JsonText json("text");
  const std::vector<std::pair<std::string, std::string>> lines = {
      {"", "byte 1: it ends here"},
      {"{\"text\": \"a\"", "byte 13: \",\" or the end"},
      {"{\"text\": \"a\",}", "a key in double quotes must follow"},
      {"{text: 1}", "a key in double quotes must follow"},
      {"{\"a\" 1}", "\":\" must follow"},
      {"[1,]", "no value begins like this"},
      {"[1 2]", "\",\" or the end"},
      {"{} {}", "byte 4: more follows"},
      {"[01]", "\",\" or the end"},
      {"[1.]", "\",\" or the end"},
      {"[1e]", "\",\" or the end"},
      {"[.5]", "no value"},
      {"[-]", "no value"},
      {"[+1]", "no value"},
      {"[-NaN]", "no value"},
      {"[nul]", "no value"},
      {"[\"\t\"]", "a control character"},
      {"[\"\\x\"]", "no escape"},
      {"[\"\\u12g4\"]", "four hexadecimal digits"},
      {"[\"\\ud83d\\u12\"]", "four hexadecimal digits"},
      {"[\"abc", "a string does not end"},
      {"[\"abc\\", "no escape"},
      {std::string(100000, '['), "it ends here"},
      {"\xef\xbb\xbf{}", "no value"},
      {"{\"text\": \"\xed\xa0\x80\"}", "not valid UTF-8 at byte 11"},
  };
  for (const auto& [line, message] : lines) EXPECT_THAT_ERROR(json.read(line), message);
}

TEST(JsonText, says_why_there_is_no_text) {
  JsonText json("text");
  for (const char* line : {"3", "[]", "\"text\"", "{}", "{\"text\": null}",
                           "{\"text\": \"a\", \"text\": 1}", "[{\"text\": \"a\"}]"}) {
    EXPECT_THAT_ERROR(json.read(line), "has no \"text\" that is a string");
  }
  for (const char* line : {R"({"text": "a\ud83d"})", R"({"text": "a\udc00b"})",
                           R"({"text": "a\ud83d\u0041"})", R"({"text": "a\ude00\ud83d"})"}) {
    EXPECT_THAT_ERROR(json.read(line), "half of a surrogate pair in \"text\" (at byte 12)");
  }
}

}  // namespace
}  // namespace twofour::text
