// Decoding one id at a time, for text that is shown while it is generated.
#pragma once

#include <cstdint>
#include <string_view>

#include "twofour/text/tokenizer.h"

namespace twofour::text {

/// What the calls of add() return, one behind the other, is Tokenizer::decode() of all the ids: a
/// space is taken away at the start of the text only.
class Decoder {
 public:
  /// With `skip_special`, special tokens stand for nothing.
  explicit Decoder(const Tokenizer& tokenizer, bool skip_special = false);

  /// The bytes that `id` adds, valid as long as the decoder. A character may end in the next id.
  /// Throws for an id outside the vocabulary.
  std::string_view add(int32_t id);

 private:
  Tokenizer tokenizer_;
  bool skip_special_, at_start_ = true;
};

}  // namespace twofour::text
