// Byte-level BPE behind a splitting rule (GPT-2, LLaMA-3, and with NFC before it Qwen2).
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "twofour/text/bpe.h"
#include "twofour/text/part_encoder.h"
#include "twofour/text/splitter.h"

namespace twofour::text {

class ByteLevelEncoder : public PartEncoder {
 public:
  struct Options {
    /// Text in Unicode's normalization form C. utf8proc's Unicode is newer than that of Hugging
    /// Face's tokenizers: of marks that came after Unicode 9 in an order that is not canonical,
    /// only we mend the order.
    bool nfc = false;
    bool add_prefix_space = false;  ///< a part that begins with no space gets one
    /// Cuts a part before the splitting rule does: what it matches, and what lies between, are
    /// texts of their own to that rule (Hugging Face's Digits). Empty for none; not with
    /// add_prefix_space, which would have to put a space before each of them.
    std::string digits_rule = {};
  };
  ByteLevelEncoder(std::string_view rule, Options options, std::unique_ptr<Bpe> bpe);

  std::string_view normalize(std::string_view part, Place place,
                             std::string& buffer) const override;
  bool normalizes() const override { return options_.nfc; }
  void encode(std::string_view text, Place place, WordCache& cache,
              std::vector<int32_t>& ids) const override;
  size_t safe_cut(std::string_view part, size_t begin) const override;
  bool adds_prefix() const override { return options_.add_prefix_space; }
  const std::string& bytes(int32_t id) const override { return bpe_->piece(id); }

 private:
  void encode_pieces(std::string_view text, WordCache& cache, std::vector<int32_t>& ids) const;

  Splitter splitter_;
  std::optional<Splitter> digits_;
  Options options_;
  std::unique_ptr<Bpe> bpe_;
};

}  // namespace twofour::text
