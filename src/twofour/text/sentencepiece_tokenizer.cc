#include "twofour/text/sentencepiece_tokenizer.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "twofour/base/error.h"
#include "twofour/base/utf8.h"
#include "twofour/text/character_encoder.h"
#include "twofour/text/tokenizer_class.h"
#include "twofour/text/tokenizer_json_components.h"
#include "twofour/text/vocabulary.h"

namespace twofour::text {
namespace {

SpaceRule space_rule(const SentencePieceModel& model) {
  return {model.add_dummy_prefix ? SpaceRule::kAlways : SpaceRule::kNone,
          model.remove_extra_whitespaces, /*before_tokens=*/true};
}

// The ranks of scores: equal scores are equal ranks.
std::unordered_map<float, int32_t> rank_scores(const SentencePieceModel& model) {
  std::vector<float> scores;
  for (const SentencePiece& piece : model.pieces) scores.push_back(piece.score);
  std::sort(scores.begin(), scores.end(), std::greater<>());
  scores.erase(std::unique(scores.begin(), scores.end()), scores.end());
  std::unordered_map<float, int32_t> ranks;
  for (size_t i = 0; i < scores.size(); ++i) ranks[scores[i]] = static_cast<int32_t>(i);
  return ranks;
}

/// Every pair of symbols (normal pieces and bare characters) whose concatenation is a normal piece.
class PairFinder {
 public:
  PairFinder(const SentencePieceModel& model, CharacterBpeParts& parts)
      : model_(model), parts_(parts), ranks_(rank_scores(model)) {
    for (size_t id = 0; id < model.pieces.size(); ++id) {
      if (is_normal(id)) symbols_.emplace(model.pieces[id].text, static_cast<int32_t>(id));
    }
  }

  void run() {
    for (size_t id = 0; id < model_.pieces.size(); ++id) {
      if (is_normal(id)) add_bare_characters(model_.pieces[id].text);
    }
    for (size_t id = 0; id < model_.pieces.size(); ++id) {
      if (is_normal(id)) add_pairs(static_cast<int32_t>(id));
    }
  }

 private:
  bool is_normal(size_t id) const { return model_.pieces[id].type == SentencePiece::kNormal; }

  void add_bare_characters(std::string_view piece) {
    for (size_t length; !piece.empty(); piece.remove_prefix(length)) {
      length = utf8_sequence_length(piece);
      const auto next = static_cast<int32_t>(model_.pieces.size() + parts_.bare_characters.size());
      if (symbols_.emplace(piece.substr(0, length), next).second) {
        parts_.bare_characters.emplace_back(piece.substr(0, length));
      }
    }
  }

  void add_pairs(int32_t id) {
    const SentencePiece& piece = model_.pieces[static_cast<size_t>(id)];
    const std::string_view text = piece.text;
    for (size_t at = utf8_sequence_length(text); at < text.size();
         at += utf8_sequence_length(text.substr(at))) {
      const auto left = symbols_.find(text.substr(0, at));
      if (left == symbols_.end()) continue;
      const auto right = symbols_.find(text.substr(at));
      if (right == symbols_.end()) continue;
      parts_.merges.push_back({left->second, right->second, ranks_.at(piece.score), id});
    }
  }

  const SentencePieceModel& model_;
  CharacterBpeParts& parts_;
  std::unordered_map<float, int32_t> ranks_;
  std::unordered_map<std::string_view, int32_t> symbols_;
};

CharacterBpeParts make_parts(const fs::path& path, const SentencePieceModel& model,
                             bool fuse_unknown) {
  CharacterBpeParts parts;
  for (const SentencePiece& piece : model.pieces) {
    parts.pieces.push_back(piece.text);
    parts.hidden.push_back(piece.type != SentencePiece::kNormal);
  }
  if (model.byte_fallback) parts.bytes = find_byte_pieces(path, PieceIds(parts.pieces));
  parts.unknown = model.unknown_id;
  parts.fuse_unknown = fuse_unknown;
  PairFinder(model, parts).run();
  return parts;
}

void check_supported(const fs::path& path, const SentencePieceModel& model) {
  if (model.model_type != SentencePieceModel::kBpe) {
    refuse(path, fmt::format("its model type is {}, only BPE is supported",
                             model_type_name(model.model_type)));
  }
  const bool identity = model.normalizer_name.empty() || model.normalizer_name == "identity";
  if (!identity || !model.normalizer_table.empty() || !model.normalizer_rules.empty()) {
    refuse(path, fmt::format("its normalizer \"{}\" is not supported, only identity",
                             printable(model.normalizer_name)));
  }
  if (!model.escape_whitespaces) refuse(path, "escape_whitespaces false is not supported");
  if (model.suffix_whitespace) refuse(path, "treat_whitespace_as_suffix is not supported");
  int unknown = 0;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const auto type = model.pieces[id].type;
    if (type == SentencePiece::kUnused) {
      refuse(path, fmt::format("piece {} is of type UNUSED, which is not supported", id));
    }
    unknown += type == SentencePiece::kUnknown;
    const bool with_space = model.pieces[id].text.find(' ') != std::string::npos;
    if (type == SentencePiece::kUserDefined && with_space && model.remove_extra_whitespaces) {
      refuse(path, fmt::format("piece {} is user-defined with a space, which is not supported "
                               "together with remove_extra_whitespaces",
                               id));
    }
  }
  const auto id = static_cast<size_t>(model.unknown_id);
  if (unknown != 1 || id >= model.pieces.size() ||
      model.pieces[id].type != SentencePiece::kUnknown) {
    refuse(path, fmt::format("its one unknown piece must be unk_id {}", model.unknown_id));
  }
}

std::optional<int32_t> control_id(const SentencePieceModel& model, int32_t id) {
  const auto at = static_cast<size_t>(id);
  if (id < 0 || at >= model.pieces.size() || model.pieces[at].type != SentencePiece::kControl) {
    return std::nullopt;
  }
  return id;
}

void add_tokens(const SentencePieceModel& model, Tokenizer::Implementation& out) {
  for (size_t i = 0; i < model.pieces.size(); ++i) {
    const SentencePiece& piece = model.pieces[i];
    const auto id = static_cast<int32_t>(i);
    if (is_findable(piece)) {
      out.normalized_tokens.add(with_plain_spaces(piece.text), id);
    } else if (piece.type == SentencePiece::kControl || piece.type == SentencePiece::kUnknown) {
      out.raw_tokens.add(piece.text, id);
      out.added_content[id] = piece.text;
      out.special.insert(id);
    }
  }
}

}  // namespace

bool is_findable(const SentencePiece& piece) {
  return piece.type == SentencePiece::kUserDefined && piece.text.find(' ') == std::string::npos;
}

MutableTokenizer make_sentencepiece_tokenizer(const fs::path& path, SentencePieceModel model,
                                              SentencePieceOptions options) {
  check_supported(path, model);
  auto out = std::make_shared<Tokenizer::Implementation>();
  CharacterBpeParts parts = make_parts(path, model, options.fuse_unknown);
  const bool has_bare = !parts.bare_characters.empty();
  const SpaceRule rule = space_rule(model);
  out->encoder = std::make_unique<CharacterEncoder>(std::move(parts), rule);
  out->vocabulary_size = static_cast<int32_t>(model.pieces.size());
  for (const SentencePiece& piece : model.pieces) out->pieces.emplace_back(piece.text);
  out->decoder = read_decoder(path, {{"decoder", decoder_json(rule)}});
  add_tokens(model, *out);
  out->begin_of_text = control_id(model, model.begin_id);
  out->end_of_text = control_id(model, model.end_id);
  if (options.adds_begin && out->begin_of_text) out->prefix_ids = {*out->begin_of_text};
  read_tokenizer_config(path, *out);
  const auto known = out->files.find("tokenizer_config.json");
  Json config = known == out->files.end() ? Json::object() : parse_object(path, known->second);
  if (!config.contains("add_bos_token")) config["add_bos_token"] = !out->prefix_ids.empty();
  // tokenizers would put a space behind a user-defined piece too, and knows no bare characters.
  const bool can_be_json = !has_bare && (out->normalized_tokens.empty() || !model.add_dummy_prefix);
  config = sentencepiece_config(model, config);
  if (!can_be_json) config["tokenizer_class"] = class_name(TokenizerClass::kSentencePiece);
  out->files["tokenizer_config.json"] = config.dump(2) + "\n";
  const auto shared = std::make_shared<const SentencePieceModel>(std::move(model));
  out->sentencepiece = shared;
  if (can_be_json) {
    out->make_tokenizer_json = [shared, options, prefix = out->prefix_ids,
                                suffix = out->suffix_ids] {
      return sentencepiece_json(*shared, options.fuse_unknown, prefix, suffix).dump() + "\n";
    };
  }
  return out;
}

MutableTokenizer read_sentencepiece_tokenizer(const fs::path& path) {
  const std::string content = read_file(path, kLargestVocabulary);
  auto out = make_sentencepiece_tokenizer(path, parse_sentencepiece_model(path, content));
  out->files["tokenizer.model"] = content;
  return out;
}

}  // namespace twofour::text
