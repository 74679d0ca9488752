// Streams generated text to the reader in whole characters, without stop strings.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace twofour::cli {

/// Takes bytes as they are generated and passes text on as soon as it is certain. It holds back
/// incomplete characters and text that could begin a stop string. Bytes that belong to no
/// character, which a model may generate, become U+FFFD.
class TextStream {
 public:
  /// `sink` gets every piece of text, in order. Empty stop strings are ignored.
  TextStream(std::vector<std::string> stops, std::function<void(std::string_view)> sink);

  /// Returns false if a stop string is complete. The text ends before it; later bytes are dropped.
  bool add(std::string_view bytes);

  /// Passes on the text that is held back.
  void finish();

  /// All text that was passed on.
  const std::string& text() const { return text_; }

 private:
  void take_characters(bool all);
  size_t held_back() const;
  void hand_on(size_t count);

  std::vector<std::string> stops_;
  std::function<void(std::string_view)> sink_;
  std::string bytes_;  // not yet a character
  std::string ready_;  // characters, not yet passed on
  std::string text_;
  bool stopped_ = false;
};

}  // namespace twofour::cli
