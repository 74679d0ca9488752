// Inside text/: differences of the Unicode of Hugging Face's tokenizers (0.23) from that of the
// installed libraries. Its regular expressions know Unicode 16, its normalization forms Unicode 9,
// its punctuation Unicode 8, its lower case Unicode 17. Ids do not depend on the installed
// libraries, because each table is a correction that any newer library has too.
#pragma once

#include <span>
#include <string_view>

namespace twofour::text {

struct CodePoints {
  char32_t first, last;
};

/// Code points that Unicode 15 to 16 assigned or reclassified, for regular expressions. Oniguruma
/// 6.9.8 has Unicode 14.
struct NewCodePoints {
  char32_t first, last;
  const char* category;  ///< such as "Lu"
  const char* script;    ///< where the script existed before, else ""
  const char* also;  ///< 'a': alphabetic, 'l': lower case, although the category does not say so
};
extern const std::span<const NewCodePoints> kNewCodePoints;

/// Names of properties that changed since Unicode 14 and are not corrected, as Oniguruma compares
/// names: without case, spaces, '-' and '_'.
extern const std::span<const std::string_view> kUncorrected;

/// Numbers of Unicode 17 (char::is_numeric of the Rust that the wheel was built with).
extern const std::span<const CodePoints> kNumbersOf17;

/// Punctuation newer than Unicode 8, which the Punctuation pre-tokenizer does not know, and former
/// punctuation.
extern const std::span<const CodePoints> kNewPunctuation, kOldPunctuation;

/// Marks newer than Unicode 9, which StripAccents leaves, and former marks.
extern const std::span<const CodePoints> kNewMarks, kOldMarks;

/// Characters newer than Unicode 9 with a decomposition, a combining class or a part in a
/// composition up to Unicode 18. The normalization forms do not know these properties.
extern const std::span<const CodePoints> kNotNormalized;

/// Upper case of Unicode 15 to 17: the lower case of first + i is lower + i.
struct NewUpperCase {
  char32_t first, last, lower;
};
extern const std::span<const NewUpperCase> kNewUpperCase;

}  // namespace twofour::text
