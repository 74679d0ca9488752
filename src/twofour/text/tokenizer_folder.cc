#include "twofour/text/tokenizer_folder.h"

#include <algorithm>

#include "twofour/base/error.h"
#include "twofour/base/log.h"
#include "twofour/text/added_vocabulary.h"
#include "twofour/text/llama2c_tokenizer.h"
#include "twofour/text/sentencepiece_document.h"
#include "twofour/text/sentencepiece_model.h"
#include "twofour/text/sentencepiece_tokenizer.h"
#include "twofour/text/special_tokens.h"
#include "twofour/text/tokenizer_class.h"
#include "twofour/text/tokenizer_documents.h"

namespace twofour::text {
namespace {

// A folder's small files, parsed, and the content of all that was read, for save().
struct Sources {
  fs::path folder;
  std::map<std::string, std::string> files = {};
  SpecialTokenFiles special = {};
  Json config = {};   // config.json, null without one
  Json options = {};  // tokenizer_config.json, an empty object without one

  bool holds(const std::string& name) const { return fs::exists(folder / name); }

  const std::string& read(const std::string& name) { return read(name, name); }
  /// The content of `stored_as`, which save() writes as `name`.
  const std::string& read(const std::string& name, const std::string& stored_as) {
    return files[name] = read_file(folder / stored_as, kLargestVocabulary);
  }
};

Sources read_sources(const fs::path& folder) {
  Sources sources{.folder = folder};
  SpecialTokenFiles& special = sources.special;
  special.folder = folder;
  const auto parse = [&](const char* name, Json& json, std::vector<std::string>* keys) {
    if (!sources.holds(name)) return;
    const std::string& content = sources.read(name);
    json =
        keys ? parse_object(folder / name, content, *keys) : parse_object(folder / name, content);
  };
  parse("tokenizer_config.json", special.config, &special.config_keys);
  parse("special_tokens_map.json", special.map, &special.map_keys);
  parse("added_tokens.json", special.added, nullptr);
  for (const char* name : {"chat_template.jinja", "chat_template.json"}) {
    if (sources.holds(name)) sources.read(name);
  }
  if (sources.holds("config.json")) {
    sources.config =
        parse_object(folder / "config.json", read_file(folder / "config.json", kLargestSettings));
  }
  sources.options = special.config.is_null() ? Json::object() : special.config;
  return sources;
}

// Fields that would change ids or texts and are not read.
void check_options(const Sources& sources) {
  const fs::path path = sources.folder / "tokenizer_config.json";
  const Json& options = sources.options;
  for (const char* field : {"split_special_tokens", "fix_mistral_regex"}) {
    require(path, options, field, {false});
  }
  for (const char* field :
       {"init_inputs", "vocab", "merges", "post_processor", "tokenizer_object", "gguf_file"}) {
    require(path, options, field, {Json::array()});
  }
  const char* forced = "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output";
  if (read_flag(path, options, "clean_up_tokenization_spaces", false)) {
    require(path, options, forced, {false});
  }
  require(path, options, "fast_tokenizer_files", {Json::array(), Json::array({"tokenizer.json"})});
}

bool is_true(const Json& object, const char* field) {
  const auto found = object.find(field);
  return found != object.end() && found->is_boolean() && found->get<bool>();
}

ClassOptions read_class_options(const Sources& sources, TokenizerClass type,
                                const SpecialTokens& tokens) {
  const bool spaces = type == TokenizerClass::kLlama || type == TokenizerClass::kCodeLlama;
  ClassOptions options;
  options.add_prefix_space = read_flag(sources.folder / "tokenizer_config.json", sources.options,
                                       "add_prefix_space", spaces);
  options.legacy = is_true(sources.options, "legacy");
  const NamedToken* unknown = tokens.find("unk_token");
  options.unknown_token = unknown ? unknown->content : "None";  // as Python writes it
  return options;
}

// A document, and the tokens to add to it.
struct Resolved {
  fs::path path;  // of the vocabulary, for errors
  Json document = {};
  SpecialTokens tokens = {};
  Json stated = {};  // tokenizer.json without its vocabulary; null without one
  std::optional<int32_t> begin = {}, end = {};
  std::shared_ptr<const SentencePieceModel> sentencepiece = {};  // of a tokenizer.model
};

// All but the vocabulary and the merges.
Json without_vocabulary(const Json& document) {
  Json rest = Json::object();
  for (const auto& [key, value] : document.items()) {
    if (key != "model") rest[key] = value;
  }
  if (document.contains("model") && document["model"].is_object()) {
    for (const auto& [key, value] : document["model"].items()) {
      if (key != "vocab" && key != "merges") rest["model"][key] = value;
    }
  }
  return rest;
}

// Whether LlamaTokenizer's document and tokenizer.json both put a space before every part. Then
// tokenizer.json stays, because sentencepiece and tokenizers agree with it: transformers' puts none
// before a part that begins with one.
bool says_the_same(const Json& json, const ClassOptions& options) {
  const Json prepend = {{"type", "Prepend"}, {"prepend", "▁"}};
  const Json replace = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "▁"}};
  const Json normalizer = {{"type", "Sequence"}, {"normalizers", {prepend, replace}}};
  return options.legacy && options.add_prefix_space &&
         json.value("normalizer", Json()) == normalizer &&
         json.value("pre_tokenizer", Json()).is_null();
}

// A specific class takes only vocabulary, merges and post-processor from tokenizer.json.
Json rebuild(const fs::path& path, TokenizerClass type, const ClassOptions& options, Json json) {
  Json& model = json["model"];
  const std::string kind = type_of(model);
  if (!kind.empty() && kind != "BPE") {
    refuse(path, fmt::format("its model is {}, {} has BPE", printable(kind), class_name(type)));
  }
  Json merges = model.contains("merges") ? std::move(model["merges"]) : Json::array();
  Json document = class_document(type, options, std::move(model["vocab"]), std::move(merges));
  document["post_processor"] = json.value("post_processor", Json());
  return document;
}

Resolved resolve_json(Sources& sources, TokenizerClass type, Json json) {
  Resolved resolved{.path = sources.folder / "tokenizer.json"};
  if (!json.contains("model") || !json["model"].is_object() || !json["model"].contains("vocab") ||
      !json["model"]["vocab"].is_object()) {
    refuse(resolved.path, "its model has no vocabulary of ids by piece, as BPE has");
  }
  const Json listed = json.value("added_tokens", Json::array());
  if (!listed.is_array() && !listed.is_null())
    refuse(resolved.path, "its added_tokens are no list");
  resolved.tokens = read_special_tokens(sources.special, listed);
  resolved.stated = without_vocabulary(json);
  set_class_tokens(type, resolved.tokens);
  const Json padding = json.value("padding", Json());
  if (type != TokenizerClass::kGpt2 && padding.is_object() &&
      padding.value("pad_token", Json()).is_string()) {
    resolved.tokens.set_default("pad_token", padding["pad_token"].get<std::string>());
  }
  const ClassOptions options = read_class_options(sources, type, resolved.tokens);
  const bool as_it_is = type == TokenizerClass::kBackend ||
                        type == TokenizerClass::kSentencePiece ||
                        (type == TokenizerClass::kLlama && says_the_same(json, options));
  resolved.document =
      as_it_is ? std::move(json) : rebuild(resolved.path, type, options, std::move(json));
  if (!as_it_is) resolved.document["added_tokens"] = Json::array();
  return resolved;
}

// merges.txt: two pieces a line.
Json read_merge_lines(const std::string& content) {
  Json merges = Json::array();
  for (size_t begin = 0; begin < content.size();) {
    const size_t newline = std::min(content.find('\n', begin), content.size());
    std::string line = content.substr(begin, newline - begin);
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty() && !line.starts_with("#version")) merges.push_back(std::move(line));
    begin = newline + 1;
  }
  return merges;
}

struct Pair {
  const char *vocabulary, *merges;
};

std::optional<Pair> find_pair(const Sources& sources) {
  for (const char* vocabulary : {"vocab.json", "encoder.json"}) {
    for (const char* merges : {"merges.txt", "vocab.bpe"}) {
      if (sources.holds(vocabulary) && sources.holds(merges)) return Pair{vocabulary, merges};
    }
  }
  return std::nullopt;
}

Resolved resolve_pair(Sources& sources, TokenizerClass type, const Pair& pair) {
  Resolved resolved{.path = sources.folder / pair.vocabulary};
  resolved.tokens = read_special_tokens(sources.special, Json());
  set_class_tokens(type, resolved.tokens);
  Json vocabulary = parse_object(resolved.path, sources.read("vocab.json", pair.vocabulary));
  Json merges = read_merge_lines(sources.read("merges.txt", pair.merges));
  resolved.document = class_document(type, read_class_options(sources, type, resolved.tokens),
                                     std::move(vocabulary), std::move(merges));
  return resolved;
}

void refuse_normalizer(const fs::path& path, const SentencePieceModel& model) {
  if (model.normalizer_table.empty()) return;
  refuse(path, fmt::format("its normalizer \"{}\" is not supported, only identity",
                           printable(model.normalizer_name)));
}

Json backend_document(const fs::path& path, const Json& options, const SentencePieceModel& model,
                      SpecialTokens& tokens) {
  refuse_normalizer(path, model);
  const bool legacy = !options.contains("legacy") || is_true(options, "legacy");
  Json document = sentencepiece_document(model, renamed_vocabulary(model, tokens), legacy);
  if (model.add_dummy_prefix) {
    for (auto& [id, token] : tokens.added) token.normalized = false;
  }
  const auto set = [&](const char* role, int32_t id, const std::string& piece) {
    if (id >= 0 && !piece.empty()) tokens.set_default(role, piece);
  };
  set("bos_token", model.begin_id, model.begin_piece);
  set("eos_token", model.end_id, model.end_piece);
  set("unk_token", model.unknown_id, model.unknown_piece);
  return document;
}

Resolved resolve_sentencepiece(Sources& sources, TokenizerClass type,
                               const SentencePieceModel& model) {
  Resolved resolved{.path = sources.folder / "tokenizer.model"};
  if (model.model_type != SentencePieceModel::kBpe) {
    refuse(resolved.path, fmt::format("its model type is {}, only BPE is supported",
                                      model_type_name(model.model_type)));
  }
  SpecialTokens& tokens = resolved.tokens;
  tokens = read_special_tokens(sources.special, Json());
  const bool backend = type == TokenizerClass::kBackend;
  tokens.additional = added_pieces(model, /*with_user_defined=*/!backend);
  if (backend) {
    resolved.document = backend_document(resolved.path, sources.options, model, tokens);
  } else {
    set_class_tokens(type, tokens);
    resolved.document = class_document(type, read_class_options(sources, type, tokens),
                                       vocabulary_of(model), merges_by_id(model));
  }
  return resolved;
}

// Tokens that a role names and the vocabulary lacks become part of it, as in transformers. A
// warning says so, because the model may know no such id.
class NewTokens {
 public:
  NewTokens(const SpecialTokens& tokens, const AddedVocabulary& vocabulary) {
    std::set<std::string> listed;
    for (const auto& [id, token] : tokens.added) listed.insert(token.content);
    for (const std::string& role : kTokenRoles) {
      const NamedToken* token = tokens.find(role);
      if (!token || token->content.empty() || vocabulary.find(token->content)) continue;
      if (listed.insert(token->content).second) new_.emplace_back(role, token->content);
    }
  }

  void warn(const fs::path& path, const AddedVocabulary& vocabulary) const {
    for (const auto& [role, content] : new_) {
      spdlog::warn("\"{}\" lacks the {} \"{}\": it gets the id {}, as in transformers",
                   path.string(), role, printable(content), *vocabulary.find(content));
    }
  }

 private:
  std::vector<std::pair<std::string, std::string>> new_;
};

// The tokens around a text are those of tokenizer.json. Without one, and for classes that insist,
// the flags of tokenizer_config.json say which.
void set_post_processor(const Sources& sources, TokenizerClass type, const Resolved& resolved,
                        const AddedVocabulary& vocabulary, Json& document) {
  const Json& options = sources.options;
  const bool from_json = !resolved.stated.is_null();
  const bool insists = type == TokenizerClass::kCodeLlama || type == TokenizerClass::kGptNeoX;
  const bool flags =
      !from_json && (options.contains("add_bos_token") || options.contains("add_eos_token"));
  if (!flags && !insists && !document.value("post_processor", Json()).is_null()) return;
  const auto tokens_of = [&](const char* field, const char* role, bool otherwise) {
    std::vector<std::pair<std::string, int32_t>> list;
    const NamedToken* token = resolved.tokens.find(role);
    const fs::path path = sources.folder / "tokenizer_config.json";
    const bool is_given = !from_json && options.contains(field);
    const bool adds = is_given ? read_flag(path, options, field, false) : otherwise;
    const auto id = token && adds ? vocabulary.find(token->content) : std::nullopt;
    if (id) list.emplace_back(token->content, *id);
    return list;
  };
  document["post_processor"] =
      template_json(tokens_of("add_bos_token", "bos_token", type == TokenizerClass::kCodeLlama),
                    tokens_of("add_eos_token", "eos_token", false));
}

// Adds the tokens to the document, and those that AutoTokenizer puts around a text.
void complete(const Sources& sources, TokenizerClass type, Resolved& resolved) {
  Json& document = resolved.document;
  AddedVocabulary vocabulary(document["model"]["vocab"]);
  for (const Json& token : document["added_tokens"]) {
    vocabulary.add(read_added_token(resolved.path, token));
  }
  const NewTokens new_tokens(resolved.tokens, vocabulary);
  add_special_tokens(resolved.tokens, vocabulary);
  if (type == TokenizerClass::kQwen2) {
    for (const NamedToken& token : resolved.tokens.all()) {
      vocabulary.add({.content = token.content, .special = true});
    }
  }
  new_tokens.warn(resolved.path, vocabulary);
  set_post_processor(sources, type, resolved, vocabulary, document);
  document["added_tokens"] = vocabulary.json();
  const auto id_of = [&](const char* role) {
    const NamedToken* token = resolved.tokens.find(role);
    return token ? vocabulary.find(token->content) : std::nullopt;
  };
  resolved.begin = id_of("bos_token");
  resolved.end = id_of("eos_token");
}

bool reads_pair(TokenizerClass type) {
  return type == TokenizerClass::kGpt2 || type == TokenizerClass::kGptNeoX ||
         type == TokenizerClass::kQwen2;
}

// The vocabulary of a folder without tokenizer.json.
Resolved resolve_vocabulary(Sources& sources, TokenizerClass type) {
  const std::string folder = sources.folder.string();
  for (const char* name : {"tekken.json", "tiktoken.model"}) {
    if (sources.holds(name)) refuse(sources.folder / name, "this kind of file is not supported");
  }
  const auto pair = find_pair(sources);
  const bool model = sources.holds("tokenizer.model");
  if (reads_pair(type) && pair && !model) return resolve_pair(sources, type, *pair);
  if (!reads_pair(type) && model) {
    const fs::path path = sources.folder / "tokenizer.model";
    const auto parsed = std::make_shared<const SentencePieceModel>(
        parse_sentencepiece_model(path, sources.read("tokenizer.model")));
    Resolved resolved = resolve_sentencepiece(sources, type, *parsed);
    resolved.sentencepiece = parsed;
    return resolved;
  }
  if (pair || model) {
    fail(
        "cannot read the tokenizer of \"{}\": its class is {}, which reads tokenizer.json or {}; "
        "another class can be named as tokenizer_class in tokenizer_config.json",
        folder, class_name(type),
        reads_pair(type) ? "vocab.json and merges.txt alone" : "tokenizer.model");
  }
  fail(
      "\"{}\" holds no tokenizer: expected tokenizer.json, tokenizer.model, or vocab.json and "
      "merges.txt",
      folder);
}

// tokenizer_config.json as save() writes it, with the class if config.json influences it.
void keep_class(Sources& sources, TokenizerClass type, ClassEvidence evidence) {
  evidence.config = Json::object();
  if (names_tokenizer_class(evidence) && choose_tokenizer_class(sources.folder, evidence) == type) {
    return;
  }
  if (type == TokenizerClass::kBackend && !names_tokenizer_class(evidence)) return;
  sources.options["tokenizer_class"] = class_name(type);
  sources.files["tokenizer_config.json"] = sources.options.dump(2) + "\n";
}

// GPT-2's published files name no special tokens, so the token that ends documents is plain text.
MutableTokenizer read_bare_pair(Sources& sources, const Pair& pair) {
  Resolved resolved = resolve_pair(sources, TokenizerClass::kGpt2, pair);
  const auto end = AddedVocabulary(resolved.document["model"]["vocab"]).find("<|endoftext|>");
  const MutableTokenizer out = read_tokenizer_json(resolved.path, resolved.document);
  if (end) out->special.insert(*end);
  out->end_of_text = end;
  out->files = std::move(sources.files);
  return out;
}

}  // namespace

MutableTokenizer read_tokenizer_folder(const fs::path& folder) {
  Sources sources = read_sources(folder);
  check_options(sources);
  ClassEvidence evidence{sources.options,
                         sources.config.is_null() ? Json::object() : sources.config};
  Json json;
  if (sources.holds("tokenizer.json")) {
    const std::string& content = sources.read("tokenizer.json");
    evidence.json_is_byte_level = content.find("\"ByteLevel\"") != std::string::npos;
    json = parse_object(folder / "tokenizer.json", content);
  }
  TokenizerClass type = choose_tokenizer_class(folder, evidence);
  if (json.is_null() && type == TokenizerClass::kSentencePiece) {
    if (sources.holds("tokenizer.model")) {
      return read_sentencepiece_tokenizer(folder / "tokenizer.model");
    }
    if (sources.holds("tokenizer.bin")) return read_llama2c_tokenizer(folder / "tokenizer.bin");
  }
  const auto pair = find_pair(sources);
  if (json.is_null() && pair && !sources.holds("tokenizer.model") &&
      !names_tokenizer_class(evidence)) {
    if (sources.special.is_empty()) return read_bare_pair(sources, *pair);
    type = TokenizerClass::kGpt2;  // as transformers 4 did; 5 needs the class
  }
  Resolved resolved = json.is_null() ? resolve_vocabulary(sources, type)
                                     : resolve_json(sources, type, std::move(json));
  complete(sources, type, resolved);
  const MutableTokenizer out = read_tokenizer_json(resolved.path, resolved.document);
  set_usual_tokens(resolved.begin, resolved.end, *out);
  const Json rest = without_vocabulary(resolved.document);
  if (rest != resolved.stated) out->changes = rest.dump();
  keep_class(sources, type, std::move(evidence));
  out->files = std::move(sources.files);
  out->sentencepiece = resolved.sentencepiece;
  if (type == TokenizerClass::kCodeLlama &&
      !resolved.tokens.roles_set_to_none.contains("fill_token")) {
    out->infilling_token = kInfillingToken;
  }
  out->model_beside = folder / "tokenizer.model";
  return out;
}

}  // namespace twofour::text
