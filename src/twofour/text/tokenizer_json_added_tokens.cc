#include "twofour/text/tokenizer_json_added_tokens.h"

#include <map>
#include <set>
#include <unordered_map>

#include "twofour/base/error.h"
#include "twofour/text/character_encoder.h"

namespace twofour::text {
namespace {

struct AddedToken {
  std::string content;
  AddedTokens::Flags flags;
  bool normalized, special;

  bool operator==(const AddedToken& other) const {
    return content == other.content && normalized == other.normalized && special == other.special &&
           flags.single_word == other.flags.single_word && flags.lstrip == other.flags.lstrip &&
           flags.rstrip == other.flags.rstrip;
  }
};

AddedToken added_token_of(const fs::path& path, const Json& json) {
  if (!json.is_object() || !json.contains("content") || !json["content"].is_string() ||
      !json.contains("id")) {
    refuse(path, "an added token lacks its content or id");
  }
  const auto content = json["content"].get<std::string>();
  read_id(path, json["id"], content);
  const auto flag = [&](const char* field) { return read_flag(path, json, field, false); };
  return {content,
          {flag("single_word"), flag("lstrip"), flag("rstrip")},
          flag("normalized"),
          flag("special")};
}

std::string normalize(const std::vector<Normalizer>& normalizers, const std::string& content) {
  NormalizedText text{content};
  for (const Normalizer& normalizer : normalizers) normalizer(text);
  return text.text;
}

/// Adds tokens one after the other, as tokenizers does.
class DocumentTokens {
 public:
  DocumentTokens(const Vocabulary& vocabulary, const std::vector<Normalizer>& normalizers)
      : vocabulary_(vocabulary),
        normalizers_(normalizers),
        next_id_(static_cast<int32_t>(vocabulary.ids.size())) {}

  void add(const AddedToken& token) {
    if (token.content.empty()) return;
    const auto known = ids_.find(token.content);
    if (known != ids_.end() && tokens_.at(known->second) == token) return;
    const int32_t id = id_of(token.content);
    if (token.normalized) {
      const std::string normalized = normalize(normalizers_, token.content);
      if (normalized != token.content) normalized_[id] = normalized;
    }
    ids_[token.content] = id;
    if (token.special) special_.insert(token.content);
    tokens_[id] = token;
  }

  void finish(const fs::path& path, Tokenizer::Implementation& out) const {
    std::set<std::string> raw, normalized;
    // A CharacterEncoder writes spaces as such in the text that it normalizes.
    const bool plain =
        dynamic_cast<const CharacterEncoder*>(out.encoder.get()) && out.encoder->normalizes();
    for (const auto& [id, token] : tokens_) {
      const auto found = normalized_.find(id);
      const std::string& shown = found == normalized_.end() ? token.content : found->second;
      const std::string& pattern = token.normalized ? shown : token.content;
      // The reference refuses these too.
      if (pattern.empty() || !(token.normalized ? normalized : raw).insert(pattern).second) {
        refuse(path, fmt::format("its normalizer leaves nothing that tells the added token \"{}\" "
                                 "from others",
                                 printable(token.content)));
      }
      if (token.normalized) {
        out.normalized_tokens.add(plain ? with_plain_spaces(pattern) : pattern, id, token.flags);
      } else {
        out.raw_tokens.add(pattern, id, token.flags);
      }
      out.added_content[id] = token.content;
      if (shown != token.content) out.decoded_added[id] = shown;
      if (special_.count(shown)) out.special.insert(id);
    }
  }

 private:
  int32_t id_of(const std::string& content) {
    const auto known = ids_.find(content);
    if (known != ids_.end()) return known->second;
    const auto piece = vocabulary_.ids.find(content);
    return piece != vocabulary_.ids.end() ? piece->second : next_id_++;
  }

  const Vocabulary& vocabulary_;
  const std::vector<Normalizer>& normalizers_;
  int32_t next_id_;
  std::unordered_map<std::string, int32_t> ids_;
  std::map<int32_t, AddedToken> tokens_;
  std::map<int32_t, std::string> normalized_;  // where it differs from the content
  std::set<std::string> special_;
};

}  // namespace

void read_added_tokens(const fs::path& path, const Json& json, const Vocabulary& vocabulary,
                       const std::vector<Normalizer>& normalizers, Tokenizer::Implementation& out) {
  if (!json.contains("added_tokens") || json["added_tokens"].is_null()) return;
  if (!json["added_tokens"].is_array()) refuse(path, "its added_tokens are no list");
  DocumentTokens added(vocabulary, normalizers);
  for (const Json& token : json["added_tokens"]) added.add(added_token_of(path, token));
  added.finish(path, out);
}

}  // namespace twofour::text
