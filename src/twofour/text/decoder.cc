#include "twofour/text/decoder.h"

#include <algorithm>

#include "twofour/base/error.h"
#include "twofour/text/tokenizer_files.h"

namespace twofour::text {

Decoder::Decoder(const Tokenizer& tokenizer, bool skip_special)
    : tokenizer_(tokenizer.implementation_), skip_special_(skip_special) {}

std::string_view Decoder::add(int32_t id) {
  if (id < 0 || id >= tokenizer_->vocabulary_size) {
    fail("token id {} is outside the vocabulary of {}", id, tokenizer_->vocabulary_size);
  }
  if (skip_special_ && tokenizer_->special.count(id)) return {};
  const auto added = tokenizer_->added_content.find(id);
  std::string_view bytes = added != tokenizer_->added_content.end()
                               ? std::string_view(added->second)
                               : tokenizer_->encoder->bytes(id);
  if (at_start_ && tokenizer_->strip != Strip::kNothing && bytes.starts_with(' ')) {
    const size_t spaces = std::min(bytes.find_first_not_of(' '), bytes.size());
    bytes.remove_prefix(tokenizer_->strip == Strip::kOneSpace ? 1 : spaces);
    at_start_ = false;
  } else if (!bytes.empty()) {
    at_start_ = false;
  }
  return bytes;
}

}  // namespace twofour::text
