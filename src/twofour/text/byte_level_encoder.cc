#include "twofour/text/byte_level_encoder.h"

namespace twofour::text {

ByteLevelEncoder::ByteLevelEncoder(std::string_view rule, bool add_prefix_space,
                                   std::unique_ptr<Bpe> bpe)
    : splitter_(std::string(rule)), add_prefix_space_(add_prefix_space), bpe_(std::move(bpe)) {}

void ByteLevelEncoder::encode(std::string_view text, Place place, WordCache& cache,
                              std::vector<int32_t>& ids) const {
  std::string with_space;
  if (add_prefix_space_ && place != Place::kContinuation && !text.starts_with(' ')) {
    with_space.append(1, ' ').append(text);
    text = with_space;
  }
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
  return splitter_.safe_cut(part, begin);
}

}  // namespace twofour::text
