// The tokens that are added to a vocabulary, and the ids that they get there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>

#include "twofour/text/json_reader.h"

namespace twofour::text {

/// A token that is found in the text before it is split.
struct AddedToken {
  std::string content;
  bool single_word = false, lstrip = false, rstrip = false, special = false;
  std::optional<bool> normalized = {};  ///< absent: unless it is special

  bool is_normalized() const { return normalized.value_or(!special); }
};

/// A token from an object with "content" and, where they differ from the above, its flags.
AddedToken read_added_token(const std::filesystem::path& path, const Json& object);

/// As Hugging Face's tokenizers adds tokens: one that the vocabulary holds has the id that it has
/// there, a new one the vocabulary's size (the number of its pieces) or one more than the largest
/// id of an added token. What a file says of an added token's id counts for nothing.
class AddedVocabulary {
 public:
  /// `vocabulary`, an object of ids by piece, must outlive it.
  explicit AddedVocabulary(const Json& vocabulary) : vocabulary_(vocabulary) {}

  /// Of a token that is there already only the flags change; an empty one is passed over.
  void add(const AddedToken& token);

  /// The id of an added token or a piece.
  std::optional<int32_t> find(const std::string& content) const;
  bool is_added(const std::string& content) const { return ids_.contains(content); }

  /// "added_tokens" of tokenizer.json, by id.
  Json json() const;

 private:
  int64_t next_id() const;

  const Json& vocabulary_;
  std::map<int64_t, AddedToken> tokens_;
  std::unordered_map<std::string, int64_t> ids_;
  std::set<std::string> special_;  // once special, always special
};

}  // namespace twofour::text
