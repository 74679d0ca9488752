#include "twofour/text/added_vocabulary.h"

#include <algorithm>

#include "twofour/base/error.h"

namespace twofour::text {

AddedToken read_added_token(const fs::path& path, const Json& object) {
  if (!object.is_object() || !object.contains("content") || !object["content"].is_string()) {
    refuse(path, fmt::format("an added token is {}, expected an object with \"content\"",
                             printable(object.dump())));
  }
  AddedToken token{.content = object["content"].get<std::string>()};
  token.single_word = read_flag(path, object, "single_word", false);
  token.lstrip = read_flag(path, object, "lstrip", false);
  token.rstrip = read_flag(path, object, "rstrip", false);
  token.special = read_flag(path, object, "special", false);
  if (object.contains("normalized") && !object["normalized"].is_null()) {
    token.normalized = read_flag(path, object, "normalized", false);
  }
  return token;
}

int64_t AddedVocabulary::next_id() const {
  const auto size = static_cast<int64_t>(vocabulary_.size());
  return tokens_.empty() ? size : std::max(size, tokens_.rbegin()->first + 1);
}

void AddedVocabulary::add(const AddedToken& token) {
  if (token.content.empty()) return;
  if (token.special) special_.insert(token.content);
  const auto known = find(token.content);
  const int64_t id = known ? *known : next_id();
  ids_[token.content] = id;
  tokens_[id] = token;
}

std::optional<int32_t> AddedVocabulary::find(const std::string& content) const {
  const auto added = ids_.find(content);
  if (added != ids_.end()) return static_cast<int32_t>(added->second);
  const auto piece = vocabulary_.find(content);
  if (piece == vocabulary_.end() || !piece->is_number_integer()) return std::nullopt;
  return piece->get<int32_t>();
}

Json AddedVocabulary::json() const {
  Json list = Json::array();
  for (const auto& [id, token] : tokens_) {
    list.push_back({{"id", id},
                    {"content", token.content},
                    {"single_word", token.single_word},
                    {"lstrip", token.lstrip},
                    {"rstrip", token.rstrip},
                    {"normalized", token.is_normalized()},
                    {"special", special_.contains(token.content)}});
  }
  return list;
}

}  // namespace twofour::text
