// sentencepiece's tokenizer.model, text through it, and the tokenizer.json that it is saved as.
#include <algorithm>

#include "twofour/text/character_encoder.h"
#include "twofour/text/sentencepiece_model.h"
#include "twofour/text/tokenizer_files.h"

#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace twofour;
  const fuzz::Split input = fuzz::split(data, size);
  const auto path = fuzz::file_with("tokenizer.model", input.head);
  std::optional<text::Tokenizer> tokenizer;
  if (!fuzz::accepted([&] { tokenizer = text::Tokenizer::load(path); })) return 0;
  std::vector<int32_t> ids;
  if (!fuzz::accepted([&] { ids = tokenizer->encode(input.tail); })) return 0;
  const text::SentencePieceModel model = text::parse_sentencepiece_model(path, input.head);
  const bool special = std::any_of(ids.begin(), ids.end(), [&](int32_t id) {
    fuzz::check(id >= 0 && id < tokenizer->vocabulary_size(), "ids lie in the vocabulary");
    const auto type = model.pieces[static_cast<size_t>(id)].type;
    return type == text::SentencePiece::kUnknown || type == text::SentencePiece::kControl;
  });
  const bool lossless = !special && !model.remove_extra_whitespaces;
  fuzz::check(
      !lossless || tokenizer->decode(ids) == text::with_plain_spaces(std::string(input.tail)),
      "text without unknown characters decodes to itself");
  return 0;
}
