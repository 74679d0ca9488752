// llama2.c's tokenizer.bin: an accepted one is written again, byte for byte.
#include "twofour/text/llama2c_tokenizer.h"

#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace twofour;
  const fuzz::Split input = fuzz::split(data, size);
  const auto path = fuzz::file_with("tokenizer.bin", input.head);
  std::optional<text::Tokenizer> tokenizer;
  if (!fuzz::accepted([&] { tokenizer = text::Tokenizer::load(path); })) return 0;
  if (std::vector<int32_t> ids; fuzz::accepted([&] { ids = tokenizer->encode(input.tail); })) {
    tokenizer->decode(ids);
  }
  // The header's longest piece may not exist.
  fuzz::check(text::llama2c_tokenizer(*tokenizer).substr(4) == input.head.substr(4),
              "a file is written as it was");
  return 0;
}
