// The file that Hugging Face's libraries read instead of sentencepiece's.
#include <algorithm>
#include <unordered_map>

#include "twofour/base/utf8.h"
#include "twofour/text/sentencepiece_tokenizer.h"
#include "twofour/text/tokenizer_documents.h"
#include "twofour/text/tokenizer_json_components.h"

namespace twofour::text {
namespace {

struct RankedMerge {
  float score;
  int32_t left_characters, right_characters;
  int32_t left, right;
};

std::vector<RankedMerge> rank_merges(const SentencePieceModel& model) {
  std::unordered_map<std::string_view, int32_t> ids;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    if (model.pieces[id].type == SentencePiece::kNormal) {
      ids.emplace(model.pieces[id].text, static_cast<int32_t>(id));
    }
  }
  std::vector<RankedMerge> merges;
  for (const SentencePiece& piece : model.pieces) {
    if (piece.type != SentencePiece::kNormal) continue;
    const std::string_view text = piece.text;
    std::vector<size_t> starts;  // of the characters
    for (size_t at = 0; at < text.size(); at += utf8_sequence_length(text.substr(at))) {
      starts.push_back(at);
    }
    for (size_t i = 1; i < starts.size(); ++i) {
      const auto left = ids.find(text.substr(0, starts[i]));
      const auto right = ids.find(text.substr(starts[i]));
      if (left == ids.end() || right == ids.end()) continue;
      merges.push_back({piece.score, static_cast<int32_t>(i),
                        static_cast<int32_t>(starts.size() - i), left->second, right->second});
    }
  }
  std::stable_sort(merges.begin(), merges.end(), [](const auto& a, const auto& b) {
    return std::tuple(a.score, a.left_characters, a.right_characters) >
           std::tuple(b.score, b.left_characters, b.right_characters);
  });
  return merges;
}

// Ids as a template names them, each with its piece.
std::vector<std::pair<std::string, int32_t>> named(const SentencePieceModel& model,
                                                   const std::vector<int32_t>& ids) {
  std::vector<std::pair<std::string, int32_t>> tokens;
  for (const int32_t id : ids) tokens.emplace_back(model.pieces[static_cast<size_t>(id)].text, id);
  return tokens;
}

}  // namespace

Json sentencepiece_json(const SentencePieceModel& model, bool fuse_unknown,
                        const std::vector<int32_t>& prefix_ids,
                        const std::vector<int32_t>& suffix_ids) {
  const SpaceRule rule{model.add_dummy_prefix ? SpaceRule::kAlways : SpaceRule::kNone,
                       model.remove_extra_whitespaces, /*before_tokens=*/true};
  Json vocabulary = Json::object(), added = Json::array(), merges = Json::array();
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const SentencePiece& piece = model.pieces[id];
    vocabulary[piece.text] = id;
    const bool special =
        piece.type == SentencePiece::kControl || piece.type == SentencePiece::kUnknown;
    if (!special && !is_findable(piece)) continue;
    added.push_back({{"id", id},
                     {"content", piece.text},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", !special},
                     {"special", special}});
  }
  for (const RankedMerge& merge : rank_merges(model)) {
    merges.push_back({model.pieces[static_cast<size_t>(merge.left)].text,
                      model.pieces[static_cast<size_t>(merge.right)].text});
  }
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added},
          {"normalizer", normalizer_json(rule)},
          {"pre_tokenizer", nullptr},
          {"post_processor", template_json(named(model, prefix_ids), named(model, suffix_ids))},
          {"decoder", decoder_json(rule)},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", model.pieces[static_cast<size_t>(model.unknown_id)].text},
            {"continuing_subword_prefix", nullptr},
            {"end_of_word_suffix", nullptr},
            {"fuse_unk", fuse_unknown},
            {"byte_fallback", model.byte_fallback},
            {"ignore_merges", false},
            {"vocab", vocabulary},
            {"merges", merges}}}};
}

Json sentencepiece_config(const SentencePieceModel& model, Json config) {
  // LlamaTokenizer would replace tokenizer.json's rule for spaces by its own.
  config["tokenizer_class"] = "PreTrainedTokenizerFast";
  for (const char* field : {"legacy", "sp_model_kwargs", "use_fast", "auto_map"}) {
    config.erase(field);
  }
  const auto set = [&](const char* field, int32_t id, SentencePiece::Type type) {
    const auto at = static_cast<size_t>(id);
    const bool there = id >= 0 && at < model.pieces.size() && model.pieces[at].type == type;
    if (there && !config.contains(field)) config[field] = model.pieces[at].text;
  };
  set("unk_token", model.unknown_id, SentencePiece::kUnknown);
  set("bos_token", model.begin_id, SentencePiece::kControl);
  set("eos_token", model.end_id, SentencePiece::kControl);
  set("pad_token", model.padding_id, SentencePiece::kControl);
  if (!config.contains("clean_up_tokenization_spaces")) {
    config["clean_up_tokenization_spaces"] = false;
  }
  return config;
}

}  // namespace twofour::text
