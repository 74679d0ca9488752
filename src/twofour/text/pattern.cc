#include "twofour/text/pattern.h"

#include <algorithm>

#include "twofour/base/utf8.h"

namespace twofour::text {

Pattern Pattern::string(std::string text) {
  return text.empty() ? Pattern(Regex("")) : Pattern(std::move(text));
}

size_t Pattern::character_length(std::string_view text, size_t at) {
  return static_cast<unsigned char>(text[at]) < 0x80 ? 1 : utf8_sequence_length(text.substr(at));
}

char32_t Pattern::character_at(std::string_view text, size_t at, size_t length) {
  return decode_utf8(text.substr(at), length);
}

void Cutter::merge(std::vector<Span>& spans) const {
  const bool backwards = cut_ == Cut::kMergedWithNext;
  if (backwards) std::reverse(spans.begin(), spans.end());
  std::vector<Span> merged;
  bool previous = false;
  for (const Span& span : spans) {
    const bool joins =
        cut_ == Cut::kContiguous ? span.matches == previous : span.matches && !previous;
    previous = span.matches;
    if (!joins || merged.empty()) {
      merged.push_back(span);
    } else if (backwards) {
      merged.back().begin = span.begin;
    } else {
      merged.back().end = span.end;
    }
  }
  if (backwards) std::reverse(merged.begin(), merged.end());
  spans = std::move(merged);
}

}  // namespace twofour::text
