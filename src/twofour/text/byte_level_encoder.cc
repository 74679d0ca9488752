#include "twofour/text/byte_level_encoder.h"

#include <algorithm>
#include <cstdlib>

#include <utf8proc.h>

#include "twofour/base/error.h"

namespace twofour::text {

ByteLevelEncoder::ByteLevelEncoder(std::string_view rule, Options options, std::unique_ptr<Bpe> bpe)
    : splitter_(std::string(rule)), options_(std::move(options)), bpe_(std::move(bpe)) {
  if (!options_.digits_rule.empty()) digits_.emplace(options_.digits_rule);
}

std::string_view ByteLevelEncoder::normalize(std::string_view part, Place,
                                             std::string& buffer) const {
  // Below U+0300, which begins with this byte, every text is in the form.
  const auto may_change = [](char c) { return static_cast<unsigned char>(c) >= 0xcc; };
  if (!options_.nfc || std::none_of(part.begin(), part.end(), may_change)) return part;
  utf8proc_uint8_t* composed = nullptr;
  const utf8proc_ssize_t size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(part.data()),
                   static_cast<utf8proc_ssize_t>(part.size()), &composed,
                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  if (size < 0) fail("cannot normalize the text: {}", utf8proc_errmsg(size));
  buffer.assign(reinterpret_cast<const char*>(composed), static_cast<size_t>(size));
  std::free(composed);
  return buffer;
}

void ByteLevelEncoder::encode(std::string_view text, Place place, WordCache& cache,
                              std::vector<int32_t>& ids) const {
  std::string with_space;
  if (options_.add_prefix_space && place != Place::kContinuation && !text.starts_with(' ')) {
    with_space.append(1, ' ').append(text);
    text = with_space;
  }
  if (!digits_) return encode_pieces(text, cache, ids);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = digits_->piece_end(text, begin);
    encode_pieces(text.substr(begin, end - begin), cache, ids);
    begin = end;
  }
}

void ByteLevelEncoder::encode_pieces(std::string_view text, WordCache& cache,
                                     std::vector<int32_t>& ids) const {
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = splitter_.piece_end(text, begin);
    const std::string_view word = text.substr(begin, end - begin);
    if (!cache.find(word, ids)) {
      const size_t first = ids.size();
      bpe_->encode(word, ids);
      cache.add(word, std::span(ids).subspan(first));
    }
    begin = end;
  }
}

size_t ByteLevelEncoder::safe_cut(std::string_view part, size_t begin) const {
  // Behind a line end no number goes on: digits_ cuts the two sides as it cuts the whole.
  return splitter_.safe_cut(part, begin);
}

}  // namespace twofour::text
