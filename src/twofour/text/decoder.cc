#include "twofour/text/decoder.h"

#include <algorithm>

#include "twofour/base/error.h"
#include "twofour/text/tokenizer_files.h"

namespace twofour::text {

Decoder::Decoder(const Tokenizer& tokenizer, bool skip_special)
    : tokenizer_(tokenizer), skip_special_(skip_special) {}

std::string_view Decoder::add(int32_t id) {
  const Tokenizer::Implementation& tokenizer = tokenizer_.implementation();
  if (id < 0 || id >= tokenizer.vocabulary_size) {
    fail("token id {} is outside the vocabulary of {}", id, tokenizer.vocabulary_size);
  }
  if (skip_special_ && tokenizer.special.count(id)) return {};
  const auto added = tokenizer.added_content.find(id);
  std::string_view bytes = added != tokenizer.added_content.end() ? std::string_view(added->second)
                                                                  : tokenizer.encoder->bytes(id);
  if (at_start_ && tokenizer.strip != Strip::kNothing && bytes.starts_with(' ')) {
    const size_t spaces = std::min(bytes.find_first_not_of(' '), bytes.size());
    bytes.remove_prefix(tokenizer.strip == Strip::kOneSpace ? 1 : spaces);
    at_start_ = false;
  } else if (!bytes.empty()) {
    at_start_ = false;
  }
  return bytes;
}

}  // namespace twofour::text
