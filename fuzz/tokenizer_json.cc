// tokenizer.json, and text through its tokenizer.
#include "twofour/text/byte_level_encoder.h"
#include "twofour/text/decoder.h"
#include "twofour/text/tokenizer_files.h"

#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace twofour;
  const fuzz::Split input = fuzz::split(data, size);
  const auto path = fuzz::file_with("tokenizer.json", input.head);
  text::MutableTokenizer parts;
  if (!fuzz::accepted([&] { parts = text::read_tokenizer_json(path); })) return 0;
  const bool lossless = dynamic_cast<text::ByteLevelEncoder*>(parts->encoder.get()) &&
                        !parts->encoder->adds_prefix() && !parts->encoder->normalizes();
  const text::Tokenizer tokenizer(parts);
  std::vector<int32_t> ids;
  if (!fuzz::accepted([&] { ids = tokenizer.encode(input.tail); })) return 0;
  for (const int32_t id : ids) {
    fuzz::check(id >= 0 && id < tokenizer.vocabulary_size(), "ids lie in the vocabulary");
  }
  const std::string decoded = tokenizer.decode(ids);
  text::Decoder decoder(tokenizer);
  std::string streamed;
  for (const int32_t id : ids) streamed += decoder.add(id);
  streamed += decoder.finish();
  fuzz::check(streamed == decoded, "decoding one id at a time is decoding all");
  fuzz::check(!lossless || decoded == input.tail, "byte-level text decodes to itself");
  return 0;
}
