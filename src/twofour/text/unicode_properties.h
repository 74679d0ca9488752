// Properties of characters as in Hugging Face's tokenizers, whatever Unicode the installed
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

/// Each is made on first use.
const CodePointSet& letters();          ///< \p{L}
const CodePointSet& numbers();          ///< \p{N}
const CodePointSet& white_space();      ///< \s, and char::is_whitespace of Rust
const CodePointSet& numeric();          ///< char::is_numeric of Rust
const CodePointSet& punctuation();      ///< for the Punctuation pre-tokenizer
const CodePointSet& word_characters();  ///< \w of Rust's regular expressions
const CodePointSet& combining_marks();  ///< which StripAccents removes

/// Rewrites a regular expression in Oniguruma's Ruby syntax so that every property has Unicode 16's
/// meaning. Throws Error for a property without known corrections.
std::string with_fixed_unicode(std::string_view pattern);

}  // namespace twofour::text
