// LLaMA-2's kind of tokenizer without its added tokens: spaces as pieces, BPE over characters.
#pragma once

#include "twofour/text/character_bpe.h"
#include "twofour/text/part_encoder.h"

namespace twofour::text {

/// Changes to the text before BPE. Names in brackets are Hugging Face's.
struct SpaceRule {
  enum Prefix {
    kNone,
    kAlways,           ///< a space before every part [Prepend], sentencepiece's dummy prefix
    kUnlessThere,      ///< unless the part begins with one [Metaspace always]
    kFirstUnlessThere  ///< and only before the start of the text [Metaspace first]
  };
  Prefix prefix = kAlways;
  bool collapse = false;       ///< runs of spaces to one, none at the ends (sentencepiece)
  bool before_tokens = false;  ///< applies before the search for tokens with "normalized"
};

/// `piece` with ' ' for kSpaceSymbol.
std::string with_plain_spaces(std::string piece);

class CharacterEncoder : public PartEncoder {
 public:
  CharacterEncoder(CharacterBpeParts parts, SpaceRule rule);

  Stretch normalize(Stretch part, std::string& buffer) const override;
  bool normalizes() const override { return rule_.before_tokens; }
  void encode(Stretch normalized, WordCache& cache, std::vector<int32_t>& ids) const override;
  size_t safe_cut(std::string_view part, size_t begin) const override;
  bool adds_prefix() const override { return rule_.prefix != SpaceRule::kNone; }

  /// The pieces by id, with kSpaceSymbol.
  const std::vector<std::string>& pieces() const { return bpe_.parts().pieces; }

 private:
  std::string_view apply(Stretch stretch, std::string& buffer) const;

  CharacterBpe bpe_;
  SpaceRule rule_;
};

}  // namespace twofour::text
