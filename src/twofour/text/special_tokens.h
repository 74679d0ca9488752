// The tokens that a folder's small files name beside its vocabulary, as AutoTokenizer of
// transformers 5 gathers them: tokenizer_config.json, special_tokens_map.json, added_tokens.json.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "twofour/text/added_vocabulary.h"
#include "twofour/text/json_reader.h"
#include "twofour/text/tokenizer_class.h"

namespace twofour::text {

/// A token named by its text, or with flags.
struct NamedToken {
  std::string content;
  std::optional<AddedToken> flags = {};
};

/// bos_token, eos_token, unk_token, sep_token, pad_token, cls_token, mask_token. New ones get their
/// ids in this order.
extern const std::vector<std::string> kTokenRoles;

/// The place that CodeLlamaTokenizer infills, unless fill_token is null.
inline constexpr const char* kInfillingToken = "<FILL_ME>";

struct SpecialTokens {
  /// By role. An absent role has its class's default; one without a token has none.
  std::map<std::string, std::optional<NamedToken>> roles;
  /// Other fields "…_token", in the files' order, and those that tokenizer_config.json sets to
  /// null.
  std::vector<std::pair<std::string, NamedToken>> own_roles;
  std::set<std::string> roles_set_to_none;
  /// extra_special_tokens, or additional_special_tokens where it counts only without the former.
  std::optional<std::vector<NamedToken>> extra, additional;
  /// added_tokens_decoder or its substitute, in the order of the file's ids.
  std::map<int64_t, AddedToken> added;

  /// The token of a role, if any.
  const NamedToken* find(const std::string& role) const;
  /// All of them but `added`, in the order in which new ones get their ids.
  std::vector<NamedToken> all() const;
  /// Sets a role that no file names.
  void set_default(const std::string& role, const std::string& content);
};

/// The files as they were parsed; null where there is none.
struct SpecialTokenFiles {
  std::filesystem::path folder;
  Json config, map, added;  ///< tokenizer_config.json, special_tokens_map.json, added_tokens.json
  std::vector<std::string> config_keys, map_keys;  ///< in the files' order

  bool is_empty() const { return config.is_null() && map.is_null() && added.is_null(); }
};

/// `listed`: "added_tokens" of tokenizer.json, null without one. A tokenizer_config.json with
/// added_tokens_decoder overrides the two other files and `listed`.
SpecialTokens read_special_tokens(const SpecialTokenFiles& files, const Json& listed);

/// The tokens of a class that no file names.
void set_class_tokens(TokenizerClass type, SpecialTokens& tokens);

/// Adds them all to the vocabulary, in the order in which transformers does.
void add_special_tokens(const SpecialTokens& tokens, AddedVocabulary& vocabulary);

}  // namespace twofour::text
