#include "twofour/text/pipeline_encoder.h"

#include "twofour/text/byte_level.h"

namespace twofour::text {

PipelineEncoder::PipelineEncoder(Pipeline pipeline, BpeModelParts model)
    : pipeline_(std::move(pipeline)), model_(std::move(model)) {}

Stretch PipelineEncoder::normalize(Stretch part, std::string& buffer) const {
  if (!normalizes()) return part;
  NormalizedText text{std::string(part.text), part.from_first};
  for (const Normalizer& normalizer : pipeline_.normalizers) normalizer(text);
  buffer = std::move(text.text);
  return {buffer, part.place, text.from_first};
}

void PipelineEncoder::encode(Stretch text, WordCache& cache, std::vector<int32_t>& ids) const {
  pre_tokenize(0, {text.text, text.from_first}, cache, ids);
}

void PipelineEncoder::pre_tokenize(size_t stage, Piece piece, WordCache& cache,
                                   std::vector<int32_t>& ids) const {
  if (stage == pipeline_.pre_tokenizers.size()) return encode_word(piece.text, cache, ids);
  const auto next = [&](Piece part) { pre_tokenize(stage + 1, part, cache, ids); };
  pipeline_.pre_tokenizers[stage](piece, next);
}

void PipelineEncoder::encode_word(std::string_view word, WordCache& cache,
                                  std::vector<int32_t>& ids) const {
  if (cache.find(word, ids)) return;
  const size_t first = ids.size();
  pipeline_.maps_bytes ? model_.encode(bytes_to_characters(word), ids) : model_.encode(word, ids);
  cache.add(word, std::span(ids).subspan(first));
}

}  // namespace twofour::text
