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
  struct Found {
    size_t begin, end;  ///< in the text
    int32_t id;
  };

  /// `content` is not empty; a content that is already there keeps its first id.
  void add(const std::string& content, int32_t id);

  bool empty() const { return ids_.empty(); }

  /// Whether a token holds `byte`.
  bool holds(char byte) const;

  /// The leftmost token at or after `begin`, the longest of those that begin there.
  std::optional<Found> find(std::string_view text, size_t begin) const;

 private:
  size_t next_candidate(std::string_view text, size_t begin) const;

  std::unordered_map<std::string, int32_t> ids_;
  std::array<std::vector<size_t>, 256> lengths_;  // by first byte, the longest first
  std::string first_bytes_;
};

}  // namespace twofour::text
