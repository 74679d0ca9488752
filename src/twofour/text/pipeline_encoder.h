// Any tokenizer.json with a BPE model: runs the file's normalizers, pre-tokenizers and BPE in
// order. The kinds that most models have run faster in byte_level_encoder.h and
// character_encoder.h.
#pragma once

#include <string>
#include <vector>

#include "twofour/text/bpe_model.h"
#include "twofour/text/normalizer.h"
#include "twofour/text/part_encoder.h"
#include "twofour/text/pre_tokenizer.h"

namespace twofour::text {

struct Pipeline {
  std::vector<Normalizer> normalizers;
  std::vector<PreTokenizer> pre_tokenizers;
  /// Writes pieces in GPT-2's characters after all of these. As the last pre-tokenizer it would do
  /// the same, but also for cached words.
  bool maps_bytes = false;
};

class PipelineEncoder : public PartEncoder {
 public:
  PipelineEncoder(Pipeline pipeline, BpeModelParts model);

  Stretch normalize(Stretch part, std::string& buffer) const override;
  bool normalizes() const override { return !pipeline_.normalizers.empty(); }
  void encode(Stretch text, WordCache& cache, std::vector<int32_t>& ids) const override;
  size_t safe_cut(std::string_view, size_t) const override { return std::string_view::npos; }
  bool adds_prefix() const override { return true; }

 private:
  void pre_tokenize(size_t stage, Piece piece, WordCache& cache, std::vector<int32_t>& ids) const;
  void encode_word(std::string_view word, WordCache& cache, std::vector<int32_t>& ids) const;

  Pipeline pipeline_;
  BpeModel model_;
};

}  // namespace twofour::text
