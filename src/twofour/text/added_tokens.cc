#include "twofour/text/added_tokens.h"

#include <algorithm>
#include <functional>

namespace twofour::text {

void AddedTokens::add(const std::string& content, int32_t id) {
  if (!ids_.emplace(content, id).second) return;
  std::vector<size_t>& lengths = lengths_[static_cast<unsigned char>(content[0])];
  if (lengths.empty()) first_bytes_ += content[0];
  const auto at =
      std::lower_bound(lengths.begin(), lengths.end(), content.size(), std::greater<>());
  if (at == lengths.end() || *at != content.size()) lengths.insert(at, content.size());
}

bool AddedTokens::holds(char byte) const {
  return std::any_of(ids_.begin(), ids_.end(), [byte](const auto& token) {
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
      const auto found = ids_.find(key);
      if (found != ids_.end()) return Found{at, at + length, found->second};
    }
  }
  return std::nullopt;
}

}  // namespace twofour::text
