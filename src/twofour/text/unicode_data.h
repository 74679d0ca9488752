// Inside text/: how the Unicode of Hugging Face's tokenizers (0.23) differs from that of the
// installed libraries. Its parts were made at different times: its regular expressions know Unicode
// 16, its normalization forms Unicode 9, its punctuation Unicode 8, its lower case Unicode 17. Ids
// depend on none of what is installed: each table is a correction that any newer library has too.
#pragma once

#include <span>
#include <string_view>

namespace twofour::text {

struct CodePoints {
  char32_t first, last;
};

/// What Unicode 15 to 16 assigned or classified anew, as regular expressions see it;
/// Oniguruma 6.9.8 has Unicode 14.
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

/// Punctuation that is none to the Punctuation pre-tokenizer, because it is newer than Unicode 8;
/// and what has ceased to be punctuation.
extern const std::span<const CodePoints> kNewPunctuation, kOldPunctuation;

/// Marks that StripAccents leaves, because they are newer than Unicode 9; and what has ceased to be
/// a mark.
extern const std::span<const CodePoints> kNewMarks, kOldMarks;

/// Characters newer than Unicode 9 that have a decomposition, a combining class or a part in a
/// composition up to Unicode 18: to the normalization forms they are nothing of the kind.
extern const std::span<const CodePoints> kNotNormalized;

/// Upper case of Unicode 15 to 17: the lower case of first + i is lower + i.
struct NewUpperCase {
  char32_t first, last, lower;
};
extern const std::span<const NewUpperCase> kNewUpperCase;

}  // namespace twofour::text
