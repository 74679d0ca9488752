#include "twofour/text/character_encoder.h"

#include <algorithm>

namespace twofour::text {
namespace {

void replace_all(std::string& text, std::string_view from, char to) {
  size_t out = text.find(from);
  for (size_t at = out; at < text.size();) {
    const bool found = text.compare(at, from.size(), from) == 0;
    text[out++] = found ? to : text[at];
    at += found ? from.size() : 1;
  }
  text.resize(std::min(out, text.size()));
}

// Appends `text`: a run of spaces as one, and none if `out` is empty or ends with one.
void append_collapsed(std::string_view text, std::string& out) {
  bool after_space = true;
  for (const char c : text) {
    if (c != ' ' || !after_space) out += c;
    after_space = c == ' ';
  }
}

}  // namespace

std::string with_plain_spaces(std::string piece) {
  replace_all(piece, kSpaceSymbol, ' ');
  return piece;
}

CharacterEncoder::CharacterEncoder(CharacterBpeParts parts, SpaceRule rule)
    : bpe_(std::move(parts)), rule_(rule) {}

std::string_view CharacterEncoder::apply(Stretch stretch, std::string& buffer) const {
  const Place place = stretch.place;
  std::string_view part = stretch.text;
  if (rule_.collapse) part.remove_prefix(std::min(part.find_first_not_of(' '), part.size()));
  if (part.empty()) return part;
  const bool has_space = part.starts_with(' ') || part.starts_with(kSpaceSymbol);
  bool prefix = place != Place::kContinuation;
  switch (rule_.prefix) {
    case SpaceRule::kNone:
      prefix = false;
      break;
    case SpaceRule::kAlways:
      break;
    case SpaceRule::kUnlessThere:
      prefix = prefix && !has_space;
      break;
    case SpaceRule::kFirstUnlessThere:
      prefix = place == Place::kStart && !has_space;
      break;
  }
  const bool has_symbols = part.find(kSpaceSymbol) != std::string_view::npos;
  if (!prefix && !has_symbols && !rule_.collapse) return part;
  buffer.clear();
  if (prefix) buffer.push_back(' ');
  rule_.collapse ? append_collapsed(part, buffer) : static_cast<void>(buffer.append(part));
  if (has_symbols) replace_all(buffer, kSpaceSymbol, ' ');
  while (rule_.collapse && buffer.ends_with(' ')) buffer.pop_back();
  return buffer;
}

Stretch CharacterEncoder::normalize(Stretch part, std::string& buffer) const {
  if (!rule_.before_tokens) return part;
  return {apply(part, buffer), part.place};
}

void CharacterEncoder::encode(Stretch normalized, WordCache& cache,
                              std::vector<int32_t>& ids) const {
  std::string buffer;
  const std::string_view text = rule_.before_tokens ? normalized.text : apply(normalized, buffer);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = bpe_.word_end(text, begin);
    const std::string_view word = text.substr(begin, end - begin);
    if (!cache.find(word, ids)) {
      const size_t first = ids.size();
      bpe_.encode(word, ids);
      cache.add(word, std::span(ids).subspan(first));
    }
    begin = end;
  }
}

size_t CharacterEncoder::safe_cut(std::string_view part, size_t begin) const {
  for (size_t at = std::max<size_t>(begin, 1); at < part.size(); ++at) {
    if (!bpe_.is_boundary(part, at)) continue;
    // The table only knows ' ', and rules about spaces look at their neighbours.
    const bool at_symbol =
        part.substr(at).starts_with(kSpaceSymbol) || part.substr(0, at).ends_with(kSpaceSymbol);
    const bool at_space = part[at - 1] == ' ' || (rule_.collapse && part[at] == ' ');
    if (!at_symbol && !at_space) return at;
  }
  return std::string_view::npos;
}

}  // namespace twofour::text
