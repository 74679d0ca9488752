#include "twofour/text/added_tokens.h"

#include <algorithm>
#include <functional>

#include "twofour/base/error.h"
#include "twofour/base/utf8.h"
#include "twofour/text/unicode_properties.h"

namespace twofour::text {
namespace {

struct Character {
  char32_t code;
  size_t length;
};

Character first_of(std::string_view text) {
  const size_t length = utf8_sequence_length(text);
  return {decode_utf8(text, length), length};
}

Character last_of(std::string_view text) {
  size_t at = text.size() - 1;
  while ((static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) --at;
  return first_of(text.substr(at));
}

bool is_single_word(std::string_view text, size_t begin, size_t end) {
  const CodePointSet& words = word_characters();
  const bool before = begin > 0 && words.contains(last_of(text.substr(0, begin)).code);
  return !before && (end == text.size() || !words.contains(first_of(text.substr(end)).code));
}

size_t without_space_before(std::string_view text, size_t at) {
  while (at > 0) {
    const Character last = last_of(text.substr(0, at));
    if (!white_space().contains(last.code)) break;
    at -= last.length;
  }
  return at;
}

size_t without_space_behind(std::string_view text, size_t at) {
  while (at < text.size()) {
    const Character next = first_of(text.substr(at));
    if (!white_space().contains(next.code)) break;
    at += next.length;
  }
  return at;
}

}  // namespace

void AddedTokens::add(const std::string& content, int32_t id, Flags flags) {
  if (!tokens_.emplace(content, Token{id, flags}).second) return;
  looks_around_ |= flags.single_word || flags.lstrip || flags.rstrip;
  std::vector<size_t>& lengths = lengths_[static_cast<unsigned char>(content[0])];
  if (lengths.empty()) first_bytes_ += content[0];
  const auto at =
      std::lower_bound(lengths.begin(), lengths.end(), content.size(), std::greater<>());
  if (at == lengths.end() || *at != content.size()) lengths.insert(at, content.size());
}

bool AddedTokens::holds(char byte) const {
  return std::any_of(tokens_.begin(), tokens_.end(), [byte](const auto& token) {
    return token.first.find(byte) != std::string::npos;
  });
}

size_t AddedTokens::next_candidate(std::string_view text, size_t begin) const {
  if (first_bytes_.size() == 1) return text.find(first_bytes_[0], begin);  // memchr
  for (size_t at = begin; at < text.size(); ++at) {
    if (!lengths_[static_cast<unsigned char>(text[at])].empty()) return at;
  }
  return std::string_view::npos;
}

std::optional<AddedTokens::Found> AddedTokens::find(std::string_view text, size_t begin) const {
  if (empty()) return std::nullopt;
  std::string key;
  for (size_t at = next_candidate(text, begin); at != std::string_view::npos;
       at = next_candidate(text, at + 1)) {
    for (const size_t length : lengths_[static_cast<unsigned char>(text[at])]) {
      if (length > text.size() - at) continue;
      key.assign(text.substr(at, length));
      const auto found = tokens_.find(key);
      if (found != tokens_.end()) return Found{at, at + length, &found->second};
    }
  }
  return std::nullopt;
}

std::vector<AddedTokens::Part> AddedTokens::split(std::string_view text) const {
  std::vector<Part> parts;
  size_t done = 0;
  for (auto found = find(text, 0); found; found = find(text, found->end)) {
    auto [begin, end, token] = *found;
    if (token->flags.single_word && !is_single_word(text, begin, end)) continue;
    // White space of the token before is not taken twice.
    if (token->flags.lstrip) begin = std::max(without_space_before(text, begin), done);
    if (token->flags.rstrip) end = without_space_behind(text, end);
    if (begin > end) fail("an added token with lstrip lies in what another one strips");
    if (done < begin) parts.push_back({done, begin, -1});
    if (begin < end) parts.push_back({begin, end, token->id});
    done = end;
  }
  if (done != text.size()) parts.push_back({done, text.size(), -1});
  return parts;
}

}  // namespace twofour::text
