// Properties of characters as Hugging Face's tokenizers sees them, whatever Unicode the installed
// libraries have: Oniguruma's tables with the corrections of unicode_data.h.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace twofour::text {

/// A set of code points, one bit each.
class CodePointSet {
 public:
  CodePointSet() : words_(0x110000 / 64) {}
  bool contains(char32_t code) const { return words_[code / 64] >> (code % 64) & 1; }
  void add(char32_t first, char32_t last) { fill(first, last, true); }
  void remove(char32_t first, char32_t last) { fill(first, last, false); }

 private:
  void fill(char32_t first, char32_t last, bool value);
  std::vector<uint64_t> words_;
};

/// Each is made when it is first asked for.
const CodePointSet& letters();          ///< \p{L}
const CodePointSet& numbers();          ///< \p{N}
const CodePointSet& white_space();      ///< \s, and char::is_whitespace of Rust
const CodePointSet& numeric();          ///< char::is_numeric of Rust
const CodePointSet& punctuation();      ///< what the Punctuation pre-tokenizer takes for it
const CodePointSet& word_characters();  ///< \w of Rust's regular expressions
const CodePointSet& combining_marks();  ///< what StripAccents takes away

/// A regular expression in Oniguruma's Ruby syntax in which every property means what it means to
/// Unicode 16. Throws Error for a property that is not known to mean that.
std::string with_fixed_unicode(std::string_view pattern);

}  // namespace twofour::text
