// tokenizer.json: added tokens and a BPE model, with the components before and after it.
#include <algorithm>
#include <array>

#include "twofour/base/error.h"
#include "twofour/text/byte_level.h"
#include "twofour/text/byte_level_encoder.h"
#include "twofour/text/character_encoder.h"
#include "twofour/text/json_reader.h"
#include "twofour/text/tokenizer_files.h"
#include "twofour/text/tokenizer_json_added_tokens.h"
#include "twofour/text/tokenizer_json_components.h"
#include "twofour/text/vocabulary.h"

namespace twofour::text {
namespace {

BpeModelParts read_model(const fs::path& path, const Json& model, Vocabulary& vocabulary) {
  const std::string type = type_of(model);
  if (!model.is_object() || (!type.empty() && type != "BPE")) {
    refuse(path, fmt::format("its model {} is not supported, only BPE",
                             type.empty() ? "without a type" : printable(type)));
  }
  // Old files have no type. Other models have no merges.
  if (!model.contains("vocab") || !model.contains("merges")) {
    refuse(path, "its model lacks vocab or merges, which BPE has");
  }
  require(path, model, "dropout", {0, 0.0});
  vocabulary = read_piece_ids(path, model["vocab"]);
  BpeModelParts parts;
  parts.ids = vocabulary.ids;
  parts.merges = read_merge_list(path, model["merges"]);
  if (model.contains("unk_token") && !model["unk_token"].is_null()) {
    parts.unknown_token = read_string(path, model, "unk_token");
  }
  parts.fuse_unknown = read_flag(path, model, "fuse_unk", false);
  parts.byte_fallback = read_flag(path, model, "byte_fallback", false);
  parts.ignore_merges = read_flag(path, model, "ignore_merges", false);
  parts.continuing_prefix = read_string(path, model, "continuing_subword_prefix");
  parts.word_suffix = read_string(path, model, "end_of_word_suffix");
  return parts;
}

// The ids of a merge and of its result, which must be pieces.
std::array<int32_t, 3> find_merge(const fs::path& path, const BpeModelParts& model, size_t rank) {
  const auto& [left, right] = model.merges[rank];
  const auto id_of = [&](const std::string& piece) {
    const auto found = model.ids.find(piece);
    return found == model.ids.end() ? -1 : found->second;
  };
  for (const std::string& part : {left, right}) {
    if (id_of(part) >= 0) continue;
    refuse(path, fmt::format("merge {} names \"{}\", which is not in the vocabulary", rank + 1,
                             printable(part)));
  }
  const int32_t result = id_of(left + right);
  if (result < 0) {
    refuse(path, fmt::format("the result of merge {} is not in the vocabulary", rank + 1));
  }
  return {id_of(left), id_of(right), result};
}

// For a model in which every byte is a piece, so nothing is unknown. Else null.
std::unique_ptr<PartEncoder> make_byte_level(const fs::path& path, const Json& json,
                                             const Vocabulary& vocabulary,
                                             const BpeModelParts& model) {
  auto shape = find_byte_level_shape(path, json);
  if (!shape || !model.continuing_prefix.empty() || !model.word_suffix.empty()) return nullptr;
  for (int byte = 0; byte < 256; ++byte) {
    const std::string character = bytes_to_characters(std::string(1, static_cast<char>(byte)));
    if (!model.ids.count(character)) return nullptr;
  }
  // Pieces with other characters are never reached: no text has them.
  std::vector<std::string> pieces;
  for (const auto& piece : vocabulary.pieces) {
    pieces.push_back(piece ? characters_to_bytes(*piece).value_or("") : "");
  }
  std::vector<Bpe::Merge> merges;
  for (size_t rank = 0; rank < model.merges.size(); ++rank) {
    const auto [left, right, result] = find_merge(path, model, rank);
    const bool reached =
        !pieces[static_cast<size_t>(left)].empty() && !pieces[static_cast<size_t>(right)].empty();
    if (reached) merges.push_back({left, right});
  }
  auto bpe = std::make_unique<Bpe>(std::move(pieces), merges, model.ignore_merges);
  return std::make_unique<ByteLevelEncoder>(shape->rule, std::move(shape->options), std::move(bpe));
}

// For a model in which no character is lost, and that decides by pairs alone. Else null.
std::unique_ptr<PartEncoder> make_character_level(const fs::path& path, const Json& json,
                                                  const Vocabulary& vocabulary,
                                                  const BpeModelParts& model) {
  const auto shape = find_character_shape(path, json);
  const bool plain = model.continuing_prefix.empty() && model.word_suffix.empty() &&
                     !model.ignore_merges && !model.ids.count("") &&
                     model.ids.count(std::string(kSpaceSymbol));  // if unknown, it is no space
  if (!shape || !plain) return nullptr;
  CharacterBpeParts parts;
  for (const auto& piece : vocabulary.pieces) parts.pieces.push_back(piece.value_or(""));
  if (model.byte_fallback) {
    parts.bytes.emplace();
    for (int byte = 0; byte < 256; ++byte) {
      const auto found = model.ids.find(byte_piece(byte));
      if (found == model.ids.end()) return nullptr;
      (*parts.bytes)[static_cast<size_t>(byte)] = found->second;
    }
  }
  if (model.unknown_token && model.ids.count(*model.unknown_token)) {
    parts.unknown = model.ids.at(*model.unknown_token);
  } else if (!parts.bytes) {
    return nullptr;
  }
  parts.fuse_unknown = model.fuse_unknown;
  parts.split_words = shape->split_words;
  for (size_t rank = 0; rank < model.merges.size(); ++rank) {
    const auto [left, right, result] = find_merge(path, model, rank);
    parts.merges.push_back({left, right, static_cast<int32_t>(rank), result});
  }
  return std::make_unique<CharacterEncoder>(std::move(parts), shape->spaces);
}

}  // namespace

MutableTokenizer read_tokenizer_json(const fs::path& path, const Json& json) {
  auto out = std::make_shared<Tokenizer::Implementation>();
  if (!json.contains("model")) refuse(path, "it has no model");
  require(path, json, "version", {"1.0"});
  Vocabulary vocabulary;
  BpeModelParts model = read_model(path, json["model"], vocabulary);
  Pipeline pipeline = read_pipeline(path, json);
  out->encoder = make_byte_level(path, json, vocabulary, model);
  if (!out->encoder) out->encoder = make_character_level(path, json, vocabulary, model);
  read_added_tokens(path, json, vocabulary, pipeline.normalizers, *out);
  out->decoder = read_decoder(path, json);
  read_post_processor(path, json, *out);
  out->vocabulary_size = static_cast<int32_t>(vocabulary.pieces.size());
  if (!out->added_content.empty()) {
    out->vocabulary_size = std::max(out->vocabulary_size, out->added_content.rbegin()->first + 1);
  }
  if (!out->encoder) {
    try {
      out->encoder = std::make_unique<PipelineEncoder>(std::move(pipeline), std::move(model));
    } catch (const Error& error) {
      refuse(path, error.what());
    }
  }
  out->pieces = std::move(vocabulary.pieces);
  return out;
}

MutableTokenizer read_tokenizer_json(const fs::path& path) {
  const std::string content = read_file(path, kLargestVocabulary);
  const MutableTokenizer out = read_tokenizer_json(path, parse_object(path, content));
  out->files["tokenizer.json"] = content;
  out->model_beside = path.parent_path() / "tokenizer.model";
  read_tokenizer_config(path, *out);
  return out;
}

}  // namespace twofour::text
