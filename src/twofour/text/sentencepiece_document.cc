#include "twofour/text/sentencepiece_document.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <unordered_map>

#include "twofour/base/utf8.h"
#include "twofour/text/character_bpe.h"
#include "twofour/text/tokenizer_documents.h"

namespace twofour::text {
namespace {

const std::string kSymbol(kSpaceSymbol);

// The places between the characters of a piece.
std::vector<size_t> cuts_of(std::string_view piece) {
  std::vector<size_t> cuts;
  for (size_t at = utf8_sequence_length(piece); at < piece.size();
       at += utf8_sequence_length(piece.substr(at))) {
    cuts.push_back(at);
  }
  return cuts;
}

// `text` as a regular expression that matches it, with what Python's re.escape escapes.
std::string escape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (std::string_view("()[]{}?*+-|^$\\.&~# \t\n\r\v\f").find(c) != std::string_view::npos) {
      out += '\\';
    }
    out += c;
  }
  return out;
}

size_t characters(const std::string& text) { return cuts_of(text).size(); }

// One expression for all, the longest first.
std::string any_of(std::vector<std::string> pieces) {
  std::stable_sort(pieces.begin(), pieces.end(),
                   [](const auto& a, const auto& b) { return characters(a) > characters(b); });
  std::string pattern;
  for (const std::string& piece : pieces) pattern += (pattern.empty() ? "" : "|") + escape(piece);
  return pattern;
}

using Names = std::map<int64_t, std::string>;  // pieces by id, as a vocabulary names them

Names names_of(const Json& vocabulary) {
  Names names;
  for (const auto& [piece, id] : vocabulary.items()) names[id.get<int64_t>()] = piece;
  return names;
}

// The pairs of normal pieces that make one, by the scores of their results.
Json merges_by_score(const SentencePieceModel& model, const Names& names) {
  std::unordered_map<std::string, std::pair<float, int64_t>> normal;
  for (const auto& [id, name] : names) {
    const SentencePiece& piece = model.pieces[static_cast<size_t>(id)];
    if (piece.type == SentencePiece::kNormal) normal[name] = {piece.score, id};
  }
  std::vector<std::tuple<float, int64_t, std::string, std::string>> ranked;
  for (const auto& [name, rank] : normal) {
    for (const size_t cut : cuts_of(name)) {
      std::string left = name.substr(0, cut), right = name.substr(cut);
      if (!normal.contains(left) || !normal.contains(right)) continue;
      ranked.emplace_back(-rank.first, rank.second, std::move(left), std::move(right));
    }
  }
  std::sort(ranked.begin(), ranked.end());
  Json merges = Json::array();
  for (auto& [score, id, left, right] : ranked) merges.push_back({left, right});
  return merges;
}

}  // namespace

Json vocabulary_of(const SentencePieceModel& model) {
  Json vocabulary = Json::object();
  for (size_t id = 0; id < model.pieces.size(); ++id) vocabulary[model.pieces[id].text] = id;
  return vocabulary;
}

Json merges_by_id(const SentencePieceModel& model) {
  const Json vocabulary = vocabulary_of(model);
  Json merges = Json::array();
  for (const SentencePiece& piece : model.pieces) {
    for (const size_t cut : cuts_of(piece.text)) {
      const std::string left = piece.text.substr(0, cut), right = piece.text.substr(cut);
      if (vocabulary.contains(left) && vocabulary.contains(right)) merges.push_back({left, right});
    }
  }
  return merges;
}

Json sentencepiece_document(const SentencePieceModel& model, Json vocabulary, bool legacy) {
  const Names names = names_of(vocabulary);
  std::vector<std::string> user_defined;
  for (const auto& [id, name] : names) {
    const auto type = model.pieces[static_cast<size_t>(id)].type;
    if (type == SentencePiece::kUserDefined) user_defined.push_back(name);
  }
  Json json = bpe_document(std::move(vocabulary), merges_by_score(model, names));
  json["model"]["unk_token"] = model.unknown_piece;
  json["model"]["fuse_unk"] = true;
  json["model"]["byte_fallback"] = model.byte_fallback;
  json["model"]["ignore_merges"] = !user_defined.empty();
  Json normalizers = Json::array(), pre_tokenizers = Json::array();
  if (model.remove_extra_whitespaces) {
    normalizers.push_back(replace_json("Regex", "\\A +| +\\z", ""));
    normalizers.push_back(replace_json("Regex", " {2,}", " "));
  }
  if (model.escape_whitespaces) normalizers.push_back(replace_json("String", " ", kSymbol));
  if (model.add_dummy_prefix) {
    // Metaspace puts no space before one; sentencepiece does.
    if (legacy) normalizers.push_back(replace_json("Regex", "\\A" + kSymbol, kSymbol + kSymbol));
    pre_tokenizers.push_back(metaspace_json(legacy ? "always" : "first"));
  }
  if (!user_defined.empty()) pre_tokenizers.push_back(split_json(any_of(user_defined)));
  json["normalizer"] = {{"type", "Sequence"}, {"normalizers", normalizers}};
  if (!pre_tokenizers.empty()) {
    json["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", pre_tokenizers}};
  }
  json["decoder"] = space_decoder_json(model.byte_fallback, model.add_dummy_prefix);
  return json;
}

std::vector<NamedToken> added_pieces(const SentencePieceModel& model, bool with_user_defined) {
  std::vector<NamedToken> tokens;
  for (const SentencePiece& piece : model.pieces) {
    const bool control = piece.type == SentencePiece::kControl;
    if (!control && !(piece.type == SentencePiece::kUserDefined && with_user_defined)) continue;
    tokens.push_back(
        {piece.text, AddedToken{.content = piece.text, .special = control, .normalized = false}});
  }
  return tokens;
}

Json renamed_vocabulary(const SentencePieceModel& model, const SpecialTokens& tokens) {
  Json vocabulary = Json::object();
  std::set<std::string> kept;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    if (!tokens.added.contains(static_cast<int64_t>(id))) kept.insert(model.pieces[id].text);
  }
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const auto named = tokens.added.find(static_cast<int64_t>(id));
    const bool renamed = named != tokens.added.end() && !kept.contains(named->second.content);
    vocabulary[renamed ? named->second.content : model.pieces[id].text] = id;
  }
  return vocabulary;
}

}  // namespace twofour::text
