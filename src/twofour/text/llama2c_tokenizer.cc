#include "twofour/text/llama2c_tokenizer.h"

#include <algorithm>
#include <bit>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/text/character_encoder.h"
#include "twofour/text/sentencepiece_tokenizer.h"
#include "twofour/text/vocabulary.h"

namespace twofour::text {
namespace {

constexpr const char* kBegin = "\n<s>\n";
constexpr const char* kEnd = "\n</s>\n";

uint32_t read_u32(std::string_view bytes) {
  uint32_t value = 0;
  for (size_t i = 4; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

void append_u32(uint32_t value, std::string& out) {
  for (int i = 0; i < 4; ++i) out += static_cast<char>(value >> (8 * i));
}

void with_replaced(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
}

std::vector<SentencePiece> read_pieces(const fs::path& path, std::string_view content) {
  std::vector<SentencePiece> pieces;
  if (content.size() < 4) refuse(path, "it is too short for a tokenizer of llama2.c");
  const uint32_t longest = read_u32(content);
  for (std::string_view rest = content.substr(4); !rest.empty();) {
    const size_t at = content.size() - rest.size(), id = pieces.size();
    if (rest.size() < 8) refuse(path, fmt::format("piece {} at byte {} is cut off", id, at));
    const uint32_t length = read_u32(rest.substr(4));
    if (length > rest.size() - 8) {
      refuse(path, fmt::format("piece {} at byte {} has {} bytes, the file holds {} more: is it a "
                               "tokenizer of llama2.c?",
                               id, at, length, rest.size() - 8));
    }
    if (length > longest) {
      refuse(path, fmt::format("piece {} at byte {} has {} bytes, the header says at most {}", id,
                               at, length, longest));
    }
    const float score = std::bit_cast<float>(read_u32(rest));
    pieces.push_back({std::string(rest.substr(8, length)), score, SentencePiece::kNormal});
    rest.remove_prefix(8 + length);
  }
  return pieces;
}

void set_types(const fs::path& path, SentencePieceModel& model) {
  std::vector<SentencePiece>& pieces = model.pieces;
  const bool begins = pieces.size() > 3 && pieces[0].text == "<unk>" && pieces[1].text == kBegin &&
                      pieces[2].text == kEnd;
  if (!begins) {
    refuse(path,
           "its pieces do not begin with \"<unk>\", \"\\n<s>\\n\", \"\\n</s>\\n\": is it a "
           "tokenizer of llama2.c?");
  }
  pieces[0].type = SentencePiece::kUnknown;
  pieces[1] = {"<s>", pieces[1].score, SentencePiece::kControl};
  pieces[2] = {"</s>", pieces[2].score, SentencePiece::kControl};
  model.byte_fallback = pieces.size() >= 3 + 256;
  for (int byte = 0; byte < 256 && model.byte_fallback; ++byte) {
    model.byte_fallback = pieces[static_cast<size_t>(byte) + 3].text == byte_piece(byte);
  }
  for (size_t byte = 0; byte < 256 && model.byte_fallback; ++byte) {
    pieces[byte + 3].type = SentencePiece::kByte;
  }
  for (size_t id = 3; id < pieces.size(); ++id) {
    if (pieces[id].text.find(kSpaceSymbol) != std::string::npos) {
      refuse(path, fmt::format("piece {} holds U+2581, for which llama2.c has a space", id));
    }
    with_replaced(pieces[id].text, " ", kSpaceSymbol);
  }
}

// Scores by id from the ranks of merges: a piece of one character can have any.
std::vector<float> scores_of_merges(const Json& json, const std::vector<std::string>& pieces) {
  const PieceIds ids(pieces);
  const MergeList merges = read_merge_list("tokenizer.json", json["model"]["merges"]);
  std::vector<float> scores(pieces.size(), -static_cast<float>(merges.size()));
  for (size_t rank = merges.size(); rank-- > 0;) {
    const auto result = ids.find(merges[rank].first + merges[rank].second);
    if (result) scores[static_cast<size_t>(*result)] = -static_cast<float>(rank);
  }
  return scores;
}

// Pieces with the scores of a model file beside tokenizer.json, if it has the same vocabulary.
std::vector<SentencePiece> pieces_of_json(const Tokenizer::Implementation& tokenizer,
                                          const CharacterEncoder& encoder) {
  const std::vector<std::string>& texts = encoder.pieces();
  if (fs::exists(tokenizer.model_beside)) {
    const std::string content = read_file(tokenizer.model_beside, kLargestVocabulary);
    auto pieces = parse_sentencepiece_model(tokenizer.model_beside, content).pieces;
    if (std::equal(texts.begin(), texts.end(), pieces.begin(), pieces.end(),
                   [](const auto& a, const SentencePiece& b) { return a == b.text; })) {
      return pieces;
    }
  }
  const Json json = parse_object("tokenizer.json", tokenizer.files.at("tokenizer.json"));
  const std::vector<float> scores = scores_of_merges(json, texts);
  std::vector<SentencePiece> pieces;
  for (size_t id = 0; id < texts.size(); ++id) pieces.push_back({texts[id], scores[id], {}});
  return pieces;
}

}  // namespace

MutableTokenizer read_llama2c_tokenizer(const fs::path& path) {
  const std::string content = read_file(path, kLargestVocabulary);
  SentencePieceModel model;
  model.model_type = SentencePieceModel::kBpe;
  model.remove_extra_whitespaces = false;
  model.pieces = read_pieces(path, content);
  set_types(path, model);
  check_pieces(path, model.pieces);
  const MutableTokenizer out = make_sentencepiece_tokenizer(
      path, std::move(model), {.fuse_unknown = false, .adds_begin = true});
  if (!out->make_tokenizer_json) out->files["tokenizer.bin"] = content;
  return out;
}

std::string llama2c_tokenizer(const Tokenizer& tokenizer) {
  const Tokenizer::Implementation& parts = tokenizer.implementation();
  const auto* encoder = dynamic_cast<const CharacterEncoder*>(parts.encoder.get());
  if (!encoder) {
    fail(
        "llama2.c's tokenizer.bin has no room for byte-level BPE, only for tokenizers of LLaMA-2's "
        "kind");
  }
  std::vector<SentencePiece> pieces =
      parts.sentencepiece ? parts.sentencepiece->pieces : pieces_of_json(parts, *encoder);
  if (pieces.size() < 3 || pieces[0].text != "<unk>" || pieces[1].text != "<s>" ||
      pieces[2].text != "</s>") {
    fail("llama2.c's tokenizer.bin needs \"<unk>\", \"<s>\" and \"</s>\" as the ids 0, 1, 2");
  }
  pieces[1].text = kBegin;
  pieces[2].text = kEnd;
  std::string body;
  size_t longest = 0;
  for (SentencePiece& piece : pieces) {
    with_replaced(piece.text, kSpaceSymbol, " ");
    longest = std::max(longest, piece.text.size());
    append_u32(std::bit_cast<uint32_t>(piece.score), body);
    append_u32(static_cast<uint32_t>(piece.text.size()), body);
    body += piece.text;
  }
  std::string content;
  append_u32(static_cast<uint32_t>(longest), content);
  return content + body;
}

}  // namespace twofour::text
