// The tokens that are added to a vocabulary, and their ids.
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

/// A token from an object with "content" and, where they differ from the defaults, flags.
AddedToken read_added_token(const std::filesystem::path& path, const Json& object);

/// Adds tokens as Hugging Face's tokenizers does. A token of the vocabulary keeps its id. A new one
/// gets the number of pieces, or one more than the largest id of an added token. The ids that a
/// file gives added tokens are ignored.
class AddedVocabulary {
 public:
  /// `vocabulary`, an object of ids by piece, must outlive it.
  explicit AddedVocabulary(const Json& vocabulary) : vocabulary_(vocabulary) {}

  /// A token that exists already only changes its flags; an empty one is ignored.
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
