// The normalizers of a tokenizer.json, which change a text before it is cut.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "twofour/text/pattern.h"

namespace twofour::text {

/// A part of a text on its way through the normalizers. All text is valid UTF-8.
struct NormalizedText {
  std::string text;
  /// The bytes that come from the first character of the whole text. Metaspace takes a piece that
  /// begins before this byte for the start of the text.
  size_t from_first = 0;
};

using Normalizer = std::function<void(NormalizedText&)>;

enum class NormalizationForm { kNfc, kNfd, kNfkc, kNfkd };

/// Names and effects are those of Hugging Face's tokenizers.
Normalizer make_form(NormalizationForm form);
Normalizer make_lowercase();
Normalizer make_strip(bool left, bool right);
Normalizer make_strip_accents();
Normalizer make_nmt();
Normalizer make_prepend(std::string prefix);  ///< not empty
Normalizer make_replace(Pattern pattern, std::string content);
Normalizer make_byte_characters();  ///< bytes to GPT-2's characters [ByteLevel]

}  // namespace twofour::text
