#include "twofour/cli/text_stream.h"

#include <random>

#include <gtest/gtest.h>

namespace twofour::cli {
namespace {

struct Streamed {
  std::string text;
  bool stopped;
  std::vector<std::string> pieces;
};

// `bytes` in parts of `part` bytes.
Streamed stream(const std::string& bytes, size_t part, const std::vector<std::string>& stops = {}) {
  Streamed result{"", false, {}};
  TextStream out(stops, [&](std::string_view piece) { result.pieces.emplace_back(piece); });
  for (size_t i = 0; i < bytes.size() && !result.stopped; i += part) {
    result.stopped = !out.add(std::string_view(bytes).substr(i, part));
  }
  out.finish();
  result.text = out.text();
  return result;
}

TEST(TextStream, hands_on_whole_characters_only) {
  const std::string text = "a\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80z";
  for (size_t part = 1; part <= text.size(); ++part) {
    const Streamed out = stream(text, part);
    EXPECT_EQ(out.text, text);
    for (const std::string& piece : out.pieces) {
      EXPECT_NE(static_cast<unsigned char>(piece[0]) & 0xc0, 0x80) << "begins inside a character";
    }
  }
}

TEST(TextStream, bytes_of_no_character_show_as_replacement) {
  EXPECT_EQ(stream("a\xff"
                   "b\xc3",
                   1)
                .text,
            "a\xef\xbf\xbd"
            "b\xef\xbf\xbd");
  EXPECT_EQ(stream("\xe4(", 1).text, "\xef\xbf\xbd(");
}

TEST(TextStream, ends_before_the_first_stop_string_however_the_bytes_come) {
  std::mt19937 random(3);
  for (int trial = 0; trial < 3000; ++trial) {
    std::string text;
    for (size_t i = random() % 30; i > 0; --i) text += "ab\n"[random() % 3];
    const std::vector<std::string> stops = {"ab\n", "bb", "", "\n\na"};
    size_t first = text.size();
    for (const std::string& stop : stops) {
      if (!stop.empty()) first = std::min(first, text.find(stop));
    }
    const Streamed out = stream(text, 1 + random() % 5, stops);
    ASSERT_EQ(out.text, text.substr(0, first)) << text;
    ASSERT_EQ(out.stopped, first < text.size());
  }
}

TEST(TextStream, holds_back_no_more_than_a_stop_string_could_need) {
  std::string shown;
  TextStream out({"stop"}, [&](std::string_view piece) { shown += piece; });
  out.add("hello st");
  EXPECT_EQ(shown, "hello ");
  out.add("a");
  EXPECT_EQ(shown, "hello sta");
}

}  // namespace
}  // namespace twofour::cli
