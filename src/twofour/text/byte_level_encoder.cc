#include "twofour/text/byte_level_encoder.h"

namespace twofour::text {

ByteLevelEncoder::ByteLevelEncoder(std::string_view rule, Options options, std::unique_ptr<Bpe> bpe)
    : splitter_(rule),
      nfc_(make_form(NormalizationForm::kNfc)),
      options_(std::move(options)),
      bpe_(std::move(bpe)) {}

Stretch ByteLevelEncoder::normalize(Stretch part, std::string& buffer) const {
  if (!options_.nfc) return part;
  NormalizedText text{std::string(part.text)};
  nfc_(text);
  buffer = std::move(text.text);
  return {buffer, part.place};
}

void ByteLevelEncoder::encode(Stretch stretch, WordCache& cache, std::vector<int32_t>& ids) const {
  std::string_view text = stretch.text;
  std::string with_space;
  if (options_.add_prefix_space && stretch.place != Place::kContinuation &&
      !text.starts_with(' ')) {
    with_space.append(1, ' ').append(text);
    text = with_space;
  }
  if (!options_.digits) return encode_pieces(text, cache, ids);
  options_.digits->for_pieces(text, [&](size_t begin, size_t end) {
    encode_pieces(text.substr(begin, end - begin), cache, ids);
  });
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
  // No number continues after a line end, so digits cut the two sides as they cut the whole.
  return splitter_.safe_cut(part, begin);
}

}  // namespace twofour::text
