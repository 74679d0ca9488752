// Cuts text into the pieces that BPE merges in, by the rules of most models: scanners for those of
// GPT-2, LLaMA-3 and Qwen2. Other rules go to Oniguruma (regex.h).
#pragma once

#include <string_view>

namespace twofour::text {

/// GPT-2's rule (Radford et al. 2019, the encoder released with it).
extern const std::string_view kGpt2Rule;
/// LLaMA-3's, as its tokenizer.json has it; Qwen2's differs in that each digit is a piece.
extern const std::string_view kLlama3Rule;
extern const std::string_view kQwen2Rule;

/// Immutable; may be used from several threads at once.
class Splitter {
 public:
  static bool knows(std::string_view rule);

  /// `rule` must be one of the three.
  explicit Splitter(std::string_view rule);

  /// The end of the piece of `text` (valid UTF-8) that begins at `begin` < text.size().
  size_t piece_end(std::string_view text, size_t begin) const;

  /// The first place in (begin, text.size()) at which the text can be cut without changing any
  /// piece: after a line end between two ASCII characters other than white space. npos if there is
  /// none.
  size_t safe_cut(std::string_view text, size_t begin) const;

 private:
  enum class Rule { kGpt2, kLlama3, kQwen2 } rule_;
  const unsigned char* kinds_;  // of every code point
};

}  // namespace twofour::text
