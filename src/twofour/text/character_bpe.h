// BPE over characters with a fallback to bytes: LLaMA-2's model in tokenizer.json, and
// sentencepiece's. Without a splitting rule, words come from the vocabulary: no merge can cross two
// characters that are side by side in no merge's result.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "twofour/text/bpe_merges.h"

namespace twofour::text {

/// The form of spaces inside pieces: U+2581. The functions below take text with ' ' instead.
extern const std::string_view kSpaceSymbol;

struct CharacterBpeParts {
  struct Merge {
    int32_t left, right, rank, result;  ///< symbols: ids, or pieces.size() + i for a bare character
  };
  std::vector<std::string> pieces;  ///< by id; empty where an id has none
  std::vector<Merge> merges;        ///< the lowest rank is merged first, of equals the leftmost
  /// Characters of pieces that are no pieces themselves: they can be merged, and alone are unknown.
  std::vector<std::string> bare_characters;
  /// The ids of the 256 bytes, for unknown characters; with none, those become `unknown`.
  std::optional<std::array<int32_t, 256>> bytes;
  int32_t unknown = -1;
  bool fuse_unknown = false;  ///< a run of unknown characters is one id
  bool split_words = false;   ///< cut before every space, whatever the merges say
  /// Ids whose pieces never match text (control pieces of sentencepiece).
  std::vector<bool> hidden;
};

/// Immutable; may be used from several threads at once.
class CharacterBpe {
 public:
  explicit CharacterBpe(CharacterBpeParts parts);

  /// Whether no merge can cross the place before text[at], 0 < at < text.size().
  bool is_boundary(std::string_view text, size_t at) const {
    return !joined_[static_cast<unsigned char>(text[at - 1]) * 256 +
                    static_cast<unsigned char>(text[at])];
  }

  /// The end of the word that begins at `begin`.
  size_t word_end(std::string_view text, size_t begin) const {
    size_t at = begin + 1;
    while (at < text.size() && !is_boundary(text, at)) ++at;
    return at;
  }

  /// Appends the ids of a word, or of several. A space is ' ' in `word`, never kSpaceSymbol.
  void encode(std::string_view word, std::vector<int32_t>& ids) const;

  const CharacterBpeParts& parts() const { return parts_; }

 private:
  int32_t symbol_of(std::string_view character) const;
  void find_boundaries();
  void add_symbol(const std::string& character, int32_t symbol);
  void append_unknown(std::string_view character, std::vector<int32_t>& symbols,
                      bool after_unknown) const;

  CharacterBpeParts parts_;
  BpeMerges merges_;
  std::array<int32_t, 128> ascii_;
  std::unordered_map<char32_t, int32_t> others_;
  std::vector<uint8_t> joined_;  // [last byte of a character][first byte of the next]
};

}  // namespace twofour::text
