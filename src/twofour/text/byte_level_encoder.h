// Byte-level BPE after a known splitting rule (GPT-2, LLaMA-3, and after NFC Qwen2).
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "twofour/text/bpe.h"
#include "twofour/text/normalizer.h"
#include "twofour/text/part_encoder.h"
#include "twofour/text/pattern.h"
#include "twofour/text/splitter.h"

namespace twofour::text {

class ByteLevelEncoder : public PartEncoder {
 public:
  struct Options {
    bool nfc = false;               ///< text in Unicode's normalization form C
    bool add_prefix_space = false;  ///< a part that begins with no space gets one
    /// Cuts a part before the splitting rule, which treats each result as a separate text (Hugging
    /// Face's Digits). Not with add_prefix_space, which would put a space before each.
    std::optional<Cutter> digits = {};
  };
  ByteLevelEncoder(std::string_view rule, Options options, std::unique_ptr<Bpe> bpe);

  Stretch normalize(Stretch part, std::string& buffer) const override;
  bool normalizes() const override { return options_.nfc; }
  void encode(Stretch stretch, WordCache& cache, std::vector<int32_t>& ids) const override;
  size_t safe_cut(std::string_view part, size_t begin) const override;
  bool adds_prefix() const override { return options_.add_prefix_space; }

 private:
  void encode_pieces(std::string_view text, WordCache& cache, std::vector<int32_t>& ids) const;

  Splitter splitter_;
  Normalizer nfc_;
  Options options_;
  std::unique_ptr<Bpe> bpe_;
};

}  // namespace twofour::text
