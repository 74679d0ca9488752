#include "twofour/text/special_tokens.h"

#include <algorithm>
#include <set>

#include "twofour/base/error.h"
#include "twofour/base/numbers.h"

namespace twofour::text {

const std::vector<std::string> kTokenRoles = {"bos_token", "eos_token", "unk_token", "sep_token",
                                              "pad_token", "cls_token", "mask_token"};

namespace {

bool is_role(const std::string& name) {
  return std::find(kTokenRoles.begin(), kTokenRoles.end(), name) != kTokenRoles.end();
}

// Whether Python takes a value for true.
bool is_something(const Json& object, const char* field) {
  const auto found = object.find(field);
  if (found == object.end() || found->is_null()) return false;
  return !(found->is_array() || found->is_object()) || !found->empty();
}

int64_t read_index(const fs::path& path, const std::string& text) {
  const auto value = parse_number<int64_t>(text);
  if (!value || *value < 0) {
    refuse(path,
           fmt::format("added_tokens_decoder has the key \"{}\", expected an id", printable(text)));
  }
  return *value;
}

using Roles = std::vector<std::pair<std::string, NamedToken>>;

void set_own_role(Roles& roles, const std::string& role, const NamedToken& token) {
  const auto known = std::find_if(roles.begin(), roles.end(),
                                  [&](const auto& other) { return other.first == role; });
  if (known == roles.end()) {
    roles.emplace_back(role, token);
  } else {
    known->second = token;
  }
}

// CodeLlamaTokenizer's own roles; a file's come after them or replace them.
void set_infilling_tokens(SpecialTokens& tokens) {
  Roles roles = {{"prefix_token", {"▁<PRE>"}},
                 {"middle_token", {"▁<MID>"}},
                 {"suffix_token", {"▁<SUF>"}},
                 {"eot_token", {"▁<EOT>"}},
                 {"fill_token", {kInfillingToken}}};
  std::erase_if(roles,
                [&](const auto& role) { return tokens.roles_set_to_none.contains(role.first); });
  for (const auto& [role, token] : tokens.own_roles) set_own_role(roles, role, token);
  tokens.own_roles = std::move(roles);
}

class Reader {
 public:
  Reader(const SpecialTokenFiles& files, const Json& listed)
      : files_(files),
        listed_(listed),
        config_path_(files.folder / "tokenizer_config.json"),
        map_path_(files.folder / "special_tokens_map.json") {}

  SpecialTokens read() {
    if (!files_.config.is_null()) read_config();
    if (files_.config.is_object() && files_.config.contains("added_tokens_decoder")) {
      read_decoder(files_.config["added_tokens_decoder"]);
    } else {
      if (!files_.map.is_null()) read_map();
      if (!files_.added.is_null()) read_added_tokens();
      for (const Json& token : listed_) read_listed(token);
    }
    // A plain string in tokenizer_config.json comes last, and wins.
    out_.own_roles = std::move(tagged_roles_);
    for (const auto& [role, token] : plain_roles_) set_own_role(out_.own_roles, role, token);
    for (auto& [role, token] : out_.roles) {
      if (!token) continue;
      const auto flags = flags_.find(token->content);
      if (flags != flags_.end()) token->flags = flags->second;
    }
    return std::move(out_);
  }

 private:
  NamedToken read_token(const fs::path& path, const std::string& field, const Json& value) const {
    if (value.is_string()) return {value.get<std::string>()};
    if (!value.is_object()) {
      refuse(path, fmt::format("{} is {}, expected a token", field, printable(value.dump())));
    }
    const AddedToken token = read_added_token(path, value);
    return {token.content, token};
  }

  std::vector<NamedToken> read_list(const fs::path& path, const std::string& field,
                                    const Json& list) const {
    std::vector<NamedToken> tokens;
    if (list.is_null()) return tokens;
    if (!list.is_array()) {
      refuse(path, fmt::format("{} is {}, expected a list", field, printable(list.dump())));
    }
    for (const Json& token : list) tokens.push_back(read_token(path, field, token));
    return tokens;
  }

  void read_extra(const fs::path& path, const char* field, const Json& value) {
    if (value.is_object()) {
      for (const auto& [role, token] : value.items()) {
        set_own_role(plain_roles_, role, read_token(path, field, token));
      }
    } else {
      out_.extra = read_list(path, field, value);
    }
  }

  void read_config() {
    const Json& config = files_.config;
    for (const std::string& role : kTokenRoles) {
      if (!config.contains(role)) continue;
      std::optional<NamedToken>& token = out_.roles[role];
      if (!config[role].is_null()) token = read_token(config_path_, role, config[role]);
      if (config[role].is_string()) named_.insert(config[role].get<std::string>());
    }
    for (const std::string& key : files_.config_keys) {
      if (!key.ends_with("_token") || is_role(key)) continue;
      const Json& value = config[key];
      if (value.is_null()) out_.roles_set_to_none.insert(key);
      const bool tagged = value.is_object() && value.value("__type", Json()) == "AddedToken";
      if (!value.is_string() && !tagged) continue;
      set_own_role(tagged ? tagged_roles_ : plain_roles_, key,
                   read_token(config_path_, key, value));
    }
    const bool has_extra = is_something(config, "extra_special_tokens");
    if (config.contains("additional_special_tokens") && !has_extra) {
      read_extra(config_path_, "additional_special_tokens", config["additional_special_tokens"]);
    } else if (config.contains("extra_special_tokens")) {
      read_extra(config_path_, "extra_special_tokens", config["extra_special_tokens"]);
    }
  }

  void remember(int64_t index, const AddedToken& token) {
    out_.added[index] = token;
    flags_[token.content] = token;
  }

  void read_decoder(const Json& decoder) {
    if (!decoder.is_object()) refuse(config_path_, "added_tokens_decoder is no object");
    for (const auto& [index, token] : decoder.items()) {
      remember(read_index(config_path_, index), read_added_token(config_path_, token));
    }
  }

  void read_map() {
    for (const std::string& key : files_.map_keys) {
      const Json& value = files_.map[key];
      if (key == "extra_special_tokens" && !value.is_array()) {
        read_extra(map_path_, "extra_special_tokens", value);
      } else if (key == "extra_special_tokens") {
        if (!out_.extra) out_.extra.emplace();
        for (const Json& token : value) out_.extra->push_back(read_map_token(key, token));
      } else if (key == "additional_special_tokens") {
        out_.additional = read_list(map_path_, key, value);
      } else if (is_role(key)) {
        out_.roles[key] = std::nullopt;
        if (!value.is_null()) out_.roles[key] = read_map_token(key, value);
      } else if (key.ends_with("_token") && (value.is_string() || value.is_object())) {
        set_own_role(tagged_roles_, key, read_map_token(key, value));
      }
    }
  }

  // A token of special_tokens_map.json is special, whatever its flags.
  NamedToken read_map_token(const std::string& field, const Json& value) {
    NamedToken token = read_token(map_path_, field, value);
    if (token.flags) token.flags->special = true;
    named_.insert(token.content);
    return token;
  }

  // Those of these tokens are special that another file names (tokenizer_config.json with flags
  // does not count).
  void read_added_tokens() {
    const fs::path path = files_.folder / "added_tokens.json";
    std::set<std::string> specials;
    for (const std::string& role : kTokenRoles) {
      const NamedToken* token = out_.find(role);
      if (token && named_.contains(token->content)) specials.insert(token->content);
    }
    for (const NamedToken& token : out_.extra.value_or(std::vector<NamedToken>())) {
      if (!token.flags || named_.contains(token.content)) specials.insert(token.content);
    }
    for (const auto& [content, index] : files_.added.items()) {
      const bool special = specials.contains(content);
      remember(read_id(path, index, content),
               {.content = content, .special = special, .normalized = !special});
    }
  }

  void read_listed(const Json& token) {
    const fs::path path = files_.folder / "tokenizer.json";
    const AddedToken flags = read_added_token(path, token);
    if (!token.contains("id")) refuse(path, "an added token lacks its id");
    remember(read_id(path, token["id"], flags.content), flags);
  }

  const SpecialTokenFiles& files_;
  const Json& listed_;
  const fs::path config_path_, map_path_;
  SpecialTokens out_;
  std::map<std::string, AddedToken> flags_;  // of added tokens, by content
  Roles tagged_roles_, plain_roles_;
  std::set<std::string> named_;  // without flags, or in special_tokens_map.json
};

}  // namespace

const NamedToken* SpecialTokens::find(const std::string& role) const {
  const auto found = roles.find(role);
  return found != roles.end() && found->second ? &*found->second : nullptr;
}

std::vector<NamedToken> SpecialTokens::all() const {
  std::vector<NamedToken> tokens;
  for (const std::string& role : kTokenRoles) {
    if (const NamedToken* token = find(role)) tokens.push_back(*token);
  }
  for (const auto& [role, token] : own_roles) tokens.push_back(token);
  const auto& more = extra ? extra : additional;
  if (more) tokens.insert(tokens.end(), more->begin(), more->end());
  return tokens;
}

void SpecialTokens::set_default(const std::string& role, const std::string& content) {
  roles.try_emplace(role, NamedToken{content});
}

SpecialTokens read_special_tokens(const SpecialTokenFiles& files, const Json& listed) {
  return Reader(files, listed).read();
}

void set_class_tokens(TokenizerClass type, SpecialTokens& tokens) {
  switch (type) {
    case TokenizerClass::kBackend:
    case TokenizerClass::kSentencePiece:
      return;
    case TokenizerClass::kCodeLlama:
      set_infilling_tokens(tokens);
      [[fallthrough]];
    case TokenizerClass::kLlama:
      tokens.set_default("unk_token", "<unk>");
      tokens.set_default("bos_token", "<s>");
      tokens.set_default("eos_token", "</s>");
      return;
    case TokenizerClass::kGpt2:
    case TokenizerClass::kGptNeoX:
      tokens.set_default("bos_token", "<|endoftext|>");
      break;
    case TokenizerClass::kQwen2:
      tokens.set_default("pad_token", "<|endoftext|>");
      break;
  }
  if (type == TokenizerClass::kGptNeoX) tokens.set_default("pad_token", "<|padding|>");
  tokens.set_default("unk_token", "<|endoftext|>");
  tokens.set_default("eos_token", "<|endoftext|>");
}

void add_special_tokens(const SpecialTokens& tokens, AddedVocabulary& vocabulary) {
  std::set<std::string> named, listed, appended;
  for (const auto& [role, token] : tokens.roles) {
    if (token) named.insert(token->content);
  }
  for (const auto& [role, token] : tokens.own_roles) named.insert(token.content);
  std::vector<AddedToken> added;
  for (const auto& [index, token] : tokens.added) {
    added.push_back(token);
    listed.insert(token.content);
  }
  for (const NamedToken& token : tokens.all()) {
    if (listed.contains(token.content) || vocabulary.is_added(token.content)) continue;
    if (token.flags) {
      added.push_back(*token.flags);
    } else if (appended.insert(token.content).second) {
      added.push_back({.content = token.content, .special = true});
    }
  }
  for (AddedToken& token : added) {
    token.special = token.special || named.contains(token.content);
    vocabulary.add(token);
  }
}

}  // namespace twofour::text
