// Cutting text into the pieces inside which BPE merges: a regular expression, run by PCRE2's JIT,
// with the rules of GPT-2, LLaMA-3 and Qwen2 also as hand-written scanners over ASCII.
#pragma once

#include <memory>
#include <string>
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
  /// Throws Error when PCRE2 does not accept the rule. `\s` means Unicode's White_Space, as in
  /// Hugging Face's regular expressions.
  explicit Splitter(const std::string& rule);
  ~Splitter();

  /// The end of the piece of `text` (valid UTF-8) that begins at `begin` < text.size().
  size_t piece_end(std::string_view text, size_t begin) const;

  /// A place in (begin, text.size()) at which the text can be cut without changing any piece: after
  /// a line end between two ASCII characters that are no white space. The first one at or after
  /// `begin`; npos when there is none or when the rule is not one for which this is known.
  size_t safe_cut(std::string_view text, size_t begin) const;

 private:
  struct Pattern;
  size_t match_end(std::string_view text, size_t begin) const;
  std::unique_ptr<Pattern> pattern_;
  enum class Scanner { kNone, kGpt2, kLlama3, kQwen2 } scanner_;
};

}  // namespace twofour::text
