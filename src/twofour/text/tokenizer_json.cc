// tokenizer.json: added tokens, and a BPE model over bytes or over characters.
#include <array>

#include "twofour/base/error.h"
#include "twofour/text/byte_level_encoder.h"
#include "twofour/text/character_encoder.h"
#include "twofour/text/json_reader.h"
#include "twofour/text/tokenizer_files.h"
#include "twofour/text/tokenizer_json_components.h"
#include "twofour/text/vocabulary.h"

namespace twofour::text {
namespace {

void read_added_tokens(const fs::path& path, const Json& json, Tokenizer::Implementation& out) {
  if (!json.contains("added_tokens") || json["added_tokens"].is_null()) return;
  if (!json["added_tokens"].is_array()) refuse(path, "its added_tokens are no list");
  for (const Json& token : json["added_tokens"]) {
    if (!token.is_object() || !token.contains("content") || !token["content"].is_string() ||
        token["content"].get<std::string>().empty() || !token.contains("id")) {
      refuse(path, "an added token lacks its content or id");
    }
    const auto content = token["content"].get<std::string>();
    for (const char* field : {"single_word", "lstrip", "rstrip"}) {
      require(path, token, field, {false});
    }
    const int32_t id = read_id(path, token["id"], content);
    if (!out.added_content.emplace(id, content).second) {
      refuse(path, fmt::format("two added tokens have the id {}", id));
    }
    if (read_flag(path, token, "special", false)) out.special.insert(id);
    if (!read_flag(path, token, "normalized", false)) out.raw_tokens.add(content, id);
  }
}

// Tokens with "normalized" are looked for as the normalizer changes them.
void add_normalized_tokens(const Json& json, Tokenizer::Implementation& out) {
  if (!json.contains("added_tokens") || json["added_tokens"].is_null()) return;
  for (const Json& token : json["added_tokens"]) {
    if (!token.contains("normalized") || token["normalized"] != true) continue;
    std::string buffer;
    const auto content = token["content"].get<std::string>();
    const std::string_view normalized = out.encoder->normalize(content, Place::kStart, buffer);
    if (!normalized.empty()) {
      out.normalized_tokens.add(std::string(normalized), token["id"].get<int32_t>());
    }
  }
}

// An added token that is a piece too has the piece's id, and no other's.
void check_added_tokens(const fs::path& path, const Json& vocabulary,
                        const std::vector<std::string>& pieces,
                        const Tokenizer::Implementation& out) {
  for (const auto& [id, content] : out.added_content) {
    const auto at = static_cast<size_t>(id);
    const bool taken = at < pieces.size() && !pieces[at].empty() && pieces[at] != content;
    if (taken || (vocabulary.contains(content) && vocabulary[content] != id)) {
      refuse(path,
             fmt::format("the added token \"{}\" has the id {}, its vocabulary says otherwise",
                         printable(content), id));
    }
  }
}

std::unique_ptr<PartEncoder> read_byte_level_model(const fs::path& path, const Json& model,
                                                   const Components& components,
                                                   const Tokenizer::Implementation& out) {
  require(path, model, "unk_token", {});
  require(path, model, "byte_fallback", {false});
  std::set<std::string> raw;
  for (const auto& [id, content] : out.added_content) raw.insert(content);
  std::vector<std::string> pieces = read_vocabulary(path, model["vocab"]);
  check_added_tokens(path, model["vocab"], pieces, out);
  pieces_to_bytes(path, raw, pieces);
  const auto merges = read_merges(path, model["merges"], pieces, /*byte_level=*/true);
  pieces.resize(std::max(pieces.size(), static_cast<size_t>(out.vocabulary_size)));
  try {
    auto bpe = std::make_unique<Bpe>(std::move(pieces), merges,
                                     read_flag(path, model, "ignore_merges", false));
    return std::make_unique<ByteLevelEncoder>(components.rule, components.byte_level_options,
                                              std::move(bpe));
  } catch (const Error& error) {
    refuse(path, error.what());
  }
}

std::unique_ptr<PartEncoder> read_character_model(const fs::path& path, const Json& model,
                                                  const Components& components,
                                                  const Tokenizer::Implementation& out) {
  require(path, model, "ignore_merges", {false});
  CharacterBpeParts parts;
  parts.pieces = read_vocabulary(path, model["vocab"]);
  check_added_tokens(path, model["vocab"], parts.pieces, out);
  const PieceIds ids(parts.pieces);
  if (read_flag(path, model, "byte_fallback", false)) parts.bytes = find_byte_pieces(path, ids);
  const std::string unknown = read_string(path, model, "unk_token");
  if (!unknown.empty()) {
    const auto id = ids.find(unknown);
    if (!id) refuse(path, fmt::format("unk_token \"{}\" is no piece", printable(unknown)));
    parts.unknown = *id;
  } else if (!parts.bytes) {
    refuse(path, "it has neither byte_fallback nor an unk_token: unknown characters would be lost");
  }
  parts.fuse_unknown = read_flag(path, model, "fuse_unk", false);
  parts.split_words = components.split_words;
  const auto merges = read_merges(path, model["merges"], parts.pieces, /*byte_level=*/false);
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const auto [left, right] = merges[rank];
    const auto result = ids.find(parts.pieces[static_cast<size_t>(left)] +
                                 parts.pieces[static_cast<size_t>(right)]);
    if (!result) {
      refuse(path, fmt::format("the result of merge {} is not in the vocabulary", rank + 1));
    }
    parts.merges.push_back({left, right, static_cast<int32_t>(rank), *result});
  }
  parts.pieces.resize(std::max(parts.pieces.size(), static_cast<size_t>(out.vocabulary_size)));
  return std::make_unique<CharacterEncoder>(std::move(parts), components.spaces);
}

}  // namespace

MutableTokenizer read_tokenizer_json(const fs::path& path, const Json& json) {
  auto out = std::make_shared<Tokenizer::Implementation>();
  if (!json.contains("model") || type_of(json["model"]) != "BPE") {
    refuse(path, "its model is not BPE, the only kind that is supported");
  }
  const Json& model = json["model"];
  require(path, model, "dropout", {0, 0.0});
  require(path, model, "continuing_subword_prefix", {""});
  require(path, model, "end_of_word_suffix", {""});
  if (!model.contains("vocab") || !model.contains("merges")) {
    refuse(path, "its model lacks vocab or merges");
  }
  const Components components = read_components(path, json);
  read_added_tokens(path, json, *out);
  out->vocabulary_size = largest_id(path, model["vocab"]) + 1;
  if (!out->added_content.empty()) {
    out->vocabulary_size = std::max(out->vocabulary_size, out->added_content.rbegin()->first + 1);
  }
  out->encoder = components.byte_level ? read_byte_level_model(path, model, components, *out)
                                       : read_character_model(path, model, components, *out);
  add_normalized_tokens(json, *out);
  if (!components.byte_level) {
    for (auto& [id, token] : out->added_content) token = with_plain_spaces(token);
  }
  out->strip = components.strip;
  out->prefix_ids = components.prefix_ids;
  out->suffix_ids = components.suffix_ids;
  return out;
}

MutableTokenizer read_tokenizer_json(const fs::path& path) {
  const std::string content = read_file(path);
  const MutableTokenizer out = read_tokenizer_json(path, parse_object(path, content));
  out->files["tokenizer.json"] = content;
  out->model_beside = path.parent_path() / "tokenizer.model";
  read_tokenizer_config(path, *out);
  return out;
}

}  // namespace twofour::text
