// Any bytes as text, through a tokenizer like GPT-2's and one like LLaMA-2's.
#include <nlohmann/json.hpp>

#include "twofour/base/utf8.h"
#include "twofour/text/bpe_trainer.h"
#include "twofour/text/character_encoder.h"
#include "twofour/text/decoder.h"
#include "twofour/text/sentencepiece_tokenizer.h"

#include "fuzz.h"

namespace {

using namespace twofour;

text::Tokenizer make_gpt2() {
  text::BpeTrainer trainer(300, {"<|endoftext|>"});
  trainer.add("the cat sat on the mat, it's 123 cats\n\n  and caf\xc3\xa9 aaaa    ");
  return trainer.train();
}

text::Tokenizer make_llama2() {
  text::SentencePieceModel model;
  model.model_type = text::SentencePieceModel::kBpe;
  model.byte_fallback = true;
  model.remove_extra_whitespaces = false;
  model.pieces = {{"<unk>", 0, text::SentencePiece::kUnknown},
                  {"<s>", 0, text::SentencePiece::kControl},
                  {"</s>", 0, text::SentencePiece::kControl}};
  static constexpr char kDigits[] = "0123456789ABCDEF";
  for (size_t byte = 0; byte < 256; ++byte) {
    const std::string name = {'<', '0', 'x', kDigits[byte / 16], kDigits[byte % 16], '>'};
    model.pieces.push_back({name, 0, text::SentencePiece::kByte});
  }
  float score = 0;
  for (const char* piece : {"\xe2\x96\x81t",
                            "he",
                            "\xe2\x96\x81the",
                            "at",
                            "aa",
                            "aaaa",
                            "s>",
                            "<s",
                            "\xe2\x96\x81\xe2\x96\x81",
                            "\xe2\x96\x81",
                            "t",
                            "h",
                            "e",
                            "a",
                            "s",
                            "<",
                            ">",
                            "/",
                            "\xc3\xa9",
                            "\xe4\xb8\xad",
                            "."}) {
    model.pieces.push_back({piece, score--, text::SentencePiece::kNormal});
  }
  return text::Tokenizer(text::make_sentencepiece_tokenizer("", model));
}

void round_trip(const text::Tokenizer& tokenizer, std::string_view text, bool lossless) {
  const auto ids = tokenizer.encode(text);
  const std::string decoded = tokenizer.decode(ids);
  fuzz::check(!lossless || decoded == text::with_plain_spaces(std::string(text)) || decoded == text,
              "text decodes to itself");
  text::Decoder decoder(tokenizer);
  std::string streamed;
  for (const int32_t id : ids) streamed += decoder.add(id);
  streamed += decoder.finish();
  fuzz::check(streamed == decoded, "decoding one id at a time is decoding all");
  const size_t cut = tokenizer.safe_cut(text, text.size() / 2);
  if (cut == std::string_view::npos) return;
  const std::string_view halves[] = {text.substr(0, cut), text.substr(cut)};
  auto parts = tokenizer.encode_batch(halves, {false, true});
  parts[0].insert(parts[0].end(), parts[1].begin(), parts[1].end());
  fuzz::check(parts[0] == ids, "cutting at safe_cut changes no id");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const text::Tokenizer gpt2 = make_gpt2(), llama2 = make_llama2();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const bool valid = find_invalid_utf8(text) == std::string_view::npos;
  fuzz::check(fuzz::accepted([&] { round_trip(gpt2, text, true); }) == valid,
              "exactly valid UTF-8 is encoded");
  bool special = false;  // puts a space after a special token
  for (const char* token : {"<unk>", "<s>", "</s>"}) special |= text.find(token) != text.npos;
  fuzz::check(fuzz::accepted([&] { round_trip(llama2, text, !special); }) == valid,
              "exactly valid UTF-8 is encoded");
  return 0;
}
