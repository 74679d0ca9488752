// The pre-tokenizers of a tokenizer.json, which cut normalized text into the pieces that BPE merges
// in.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "twofour/text/pattern.h"

namespace twofour::text {

/// A piece of a text on its way through the pre-tokenizers.
struct Piece {
  std::string_view text;  ///< valid UTF-8, never empty
  /// A piece of it that begins before this byte begins the whole text (NormalizedText::from_first).
  size_t from_first = 0;

  Piece part(size_t begin, size_t end) const {
    return {text.substr(begin, end - begin), from_first > begin ? from_first - begin : 0};
  }
};

/// Refers to a function that takes a Piece whose text need not outlive the call.
class PieceSink {
 public:
  template <class Fn>
  PieceSink(const Fn& fn)  // NOLINT(google-explicit-constructor): a function where one is asked for
      : function_(&fn), call_([](const void* function, Piece piece) {
          (*static_cast<const Fn*>(function))(piece);
        }) {}
  void operator()(Piece piece) const { call_(function_, piece); }

 private:
  const void* function_;
  void (*call_)(const void*, Piece);
};

/// Gives the parts of a piece, changed or not, to the sink.
using PreTokenizer = std::function<void(Piece, PieceSink)>;

/// Names and effects are those of Hugging Face's tokenizers.
PreTokenizer make_cut(Cutter cutter);  ///< [Split, Digits, Punctuation, CharDelimiterSplit …]
PreTokenizer make_whitespace();
PreTokenizer make_fixed_length(size_t characters);  ///< at least 1
/// The cutting half of ByteLevel: by GPT-2's rule, or not at all.
PreTokenizer make_byte_level_cut(bool add_prefix_space, bool use_rule);
/// The other half: bytes to GPT-2's characters.
PreTokenizer make_byte_level_map();

enum class PrependScheme { kNever, kFirst, kAlways };
PreTokenizer make_metaspace(const std::string& replacement, PrependScheme scheme, bool split);

}  // namespace twofour::text
