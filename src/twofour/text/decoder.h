// Decoding one id at a time, for text that is shown while it is generated.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "twofour/text/decode_steps.h"
#include "twofour/text/tokenizer.h"

namespace twofour::text {

/// The results of all add() and then finish(), concatenated, are Tokenizer::decode() of all ids.
/// They are valid UTF-8.
class Decoder {
 public:
  /// With `skip_special`, special tokens have no text.
  explicit Decoder(const Tokenizer& tokenizer, bool skip_special = false);

  /// The text that is certain with `id`, valid until the next call: usually that of `id`, nothing
  /// while a character may continue in the next id. An id without a piece has no text. Throws for a
  /// negative one.
  std::string_view add(int32_t id);

  /// The rest, which waited for the next id.
  std::string_view finish();

 private:
  Tokenizer tokenizer_;
  bool skip_special_;
  std::shared_ptr<std::string> text_;
  std::unique_ptr<PieceReceiver> steps_;
};

}  // namespace twofour::text
