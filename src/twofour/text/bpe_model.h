// BPE over characters with all features of Hugging Face's model of that name: unknown characters, a
// fallback to bytes, prefixes and suffixes. Its text is already cut into words. bpe.h and
// character_bpe.h are the fast versions, for the kinds that most models have.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "twofour/text/bpe_merges.h"

namespace twofour::text {

struct BpeModelParts {
  std::unordered_map<std::string, int32_t> ids;  ///< of the pieces
  /// By rank. Both parts must be pieces, and so must their result: the left one, then the right one
  /// without the continuing prefix.
  std::vector<std::pair<std::string, std::string>> merges;
  std::optional<std::string> unknown_token;  ///< if absent, unknown characters are lost
  bool fuse_unknown = false;                 ///< a run of unknown characters is one id
  bool byte_fallback = false;     ///< an unknown character becomes pieces such as "<0x0A>"
  bool ignore_merges = false;     ///< a word that is a piece is its id
  std::string continuing_prefix;  ///< before each character of a word but the first
  std::string word_suffix;        ///< behind the last one
};

/// Immutable; may be used from several threads at once.
class BpeModel {
 public:
  /// Throws Error (a reason, to follow "cannot read …: ") for a merge without its pieces.
  explicit BpeModel(BpeModelParts parts);

  /// Appends the ids of one word, valid UTF-8. Throws Error for an unknown character if the unknown
  /// token is no piece.
  void encode(std::string_view word, std::vector<int32_t>& ids) const;

 private:
  struct Unknown;
  std::optional<int32_t> find(const std::string& piece) const;
  int32_t symbol_of(std::string_view character, bool first, bool last) const;
  bool append_bytes(std::string_view symbol, std::vector<int32_t>& symbols) const;
  int32_t merged(size_t rank, int32_t& left, int32_t& right) const;

  BpeModelParts parts_;
  BpeMerges merges_;
  std::array<int32_t, 0x180> bare_;  // characters without prefix and suffix: those of bytes too
  std::array<int32_t, 256> bytes_;
  std::optional<int32_t> unknown_;
};

}  // namespace twofour::text
