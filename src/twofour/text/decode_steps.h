// The decoders of a tokenizer.json: they turn pieces into text, one piece at a time.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "twofour/text/pattern.h"

namespace twofour::text {

/// One decoder. Names and effects are those of Hugging Face's tokenizers.
struct DecodeStep {
  enum Kind {
    kByteLevel,     ///< GPT-2's characters to bytes; invalid UTF-8 becomes U+FFFD
    kReplace,       ///< `pattern` by `text`
    kByteFallback,  ///< runs of "<0x0A>" and the like to characters
    kFuse,          ///< all pieces are one from here on
    kStrip,      ///< at most `start` and `stop` of the character `text` at both ends of each piece
    kMetaspace,  ///< `text` to spaces, none in the first piece if `flag`
    kBpe,        ///< `text`, the end of a word, to a space, but for the last piece
    kWordPiece,  ///< spaces between pieces that do not begin with `text`; `flag`: clean_up
    kCtc,        ///< drops doubled pieces and `text`; `flag`: clean_up, `delimiter` to spaces
  };
  Kind kind;
  std::string text = {}, delimiter = {};
  size_t start = 0, stop = 0;
  bool flag = false;
  std::shared_ptr<const Pattern> pattern = {};
};

/// A receiver of pieces.
class PieceReceiver {
 public:
  virtual ~PieceReceiver() = default;
  virtual void add(std::string_view piece) = 0;
  virtual void finish() = 0;
};

/// A receiver that applies the steps and passes their results on as soon as they are certain.
/// Without steps, pieces are separated by spaces.
std::unique_ptr<PieceReceiver> make_decoder(std::span<const DecodeStep> steps,
                                            std::unique_ptr<PieceReceiver> last);

}  // namespace twofour::text
