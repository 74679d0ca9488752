// Generated text on its way to the reader: whole characters, nothing of a stop string.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace twofour::cli {

/// Takes bytes as they are generated and hands text on as soon as it is certain: a character once
/// it is complete, and what could begin a stop string once it does not. Bytes that belong to no
/// character, which a model may well make, become U+FFFD.
class TextStream {
 public:
  /// `sink` gets every piece of text, in order. Empty stop strings are ignored.
  TextStream(std::vector<std::string> stops, std::function<void(std::string_view)> sink);

  /// Returns false when a stop string is complete: the text ends before it, later bytes are
  /// dropped.
  bool add(std::string_view bytes);

  /// Hands on what was held back.
  void finish();

  /// All that was handed on.
  const std::string& text() const { return text_; }

 private:
  void take_characters(bool all);
  size_t held_back() const;
  void hand_on(size_t count);

  std::vector<std::string> stops_;
  std::function<void(std::string_view)> sink_;
  std::string bytes_;  // not yet a character
  std::string ready_;  // characters, not yet handed on
  std::string text_;
  bool stopped_ = false;
};

}  // namespace twofour::cli
