// Tokens that are found in the text before it is split, such as "</s>".
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace twofour::text {

/// A set of strings to find in a text. Immutable once filled.
class AddedTokens {
 public:
  struct Flags {
    bool single_word = false;  ///< only if no letter of a word adjoins it
    bool lstrip = false;       ///< takes the white space before it
    bool rstrip = false;       ///< and after it
  };

  /// `content` is not empty; a content that is already there keeps its first id.
  void add(const std::string& content, int32_t id, Flags flags);
  void add(const std::string& content, int32_t id) { add(content, id, {}); }

  bool empty() const { return tokens_.empty(); }

  /// Whether a token holds `byte`.
  bool holds(char byte) const;

  /// Whether a match depends on the characters around it.
  bool looks_around() const { return looks_around_; }

  /// A stretch of the text: a token, or with id -1 the text between two.
  struct Part {
    size_t begin, end;
    int32_t id;
  };

  /// Cuts the text at its tokens, from the left, preferring the longest at one place. Only tokens
  /// may be empty: "a" before "a " with rstrip can leave nothing of a later one.
  std::vector<Part> split(std::string_view text) const;

 private:
  struct Token {
    int32_t id;
    Flags flags;
  };
  struct Found {
    size_t begin, end;
    const Token* token;
  };
  std::optional<Found> find(std::string_view text, size_t begin) const;
  size_t next_candidate(std::string_view text, size_t begin) const;

  std::unordered_map<std::string, Token> tokens_;
  std::array<std::vector<size_t>, 256> lengths_;  // by first byte, the longest first
  std::string first_bytes_;
  bool looks_around_ = false;
};

}  // namespace twofour::text
