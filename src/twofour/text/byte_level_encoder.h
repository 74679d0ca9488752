// Byte-level BPE behind a splitting rule (GPT-2, LLaMA-3).
#pragma once

#include <memory>

#include "twofour/text/bpe.h"
#include "twofour/text/part_encoder.h"
#include "twofour/text/splitter.h"

namespace twofour::text {

class ByteLevelEncoder : public PartEncoder {
 public:
  /// With `add_prefix_space`, a part that begins with no space gets one.
  ByteLevelEncoder(std::string_view rule, bool add_prefix_space, std::unique_ptr<Bpe> bpe);

  std::string_view normalize(std::string_view part, Place, std::string&) const override {
    return part;
  }
  bool normalizes() const override { return false; }
  void encode(std::string_view text, Place place, WordCache& cache,
              std::vector<int32_t>& ids) const override;
  size_t safe_cut(std::string_view part, size_t begin) const override;
  bool adds_prefix() const override { return add_prefix_space_; }
  const std::string& bytes(int32_t id) const override { return bpe_->piece(id); }

 private:
  Splitter splitter_;
  bool add_prefix_space_;
  std::unique_ptr<Bpe> bpe_;
};

}  // namespace twofour::text
