// The second half of a tokenizer: encodes the text between two added tokens.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "twofour/text/word_cache.h"

namespace twofour::text {

/// The place of a part decides whether it gets a space before it.
enum class Place {
  kStart,         ///< at the start of the text
  kAfterToken,    ///< behind an added token
  kContinuation,  ///< behind a part that was cut at safe_cut(): nothing is put before it
};

/// A part of a text, valid UTF-8, before or after normalize().
struct Stretch {
  std::string_view text;
  Place place = Place::kStart;
  /// A piece that begins before this byte is the start of the whole text
  /// (NormalizedText::from_first).
  size_t from_first = 0;

  /// The part from `begin` to `end`, where it is not all of it between two added tokens.
  Stretch part(size_t begin, size_t end) const {
    return {text.substr(begin, end - begin), begin == 0 ? place : Place::kAfterToken,
            from_first > begin ? from_first - begin : 0};
  }
};

/// Immutable; all functions may be called from several threads at once.
class PartEncoder {
 public:
  virtual ~PartEncoder() = default;

  /// The normalized form of a part, for the search for added tokens with "normalized": the part
  /// itself, or a view of `buffer`.
  virtual Stretch normalize(Stretch part, std::string& buffer) const = 0;
  virtual bool normalizes() const = 0;  ///< false: normalize() returns its argument

  /// Appends the ids of normalized text; `cache` remembers words, one for each thread and encoder.
  virtual void encode(Stretch normalized, WordCache& cache, std::vector<int32_t>& ids) const = 0;

  /// The first known place in [begin, part.size()) where the part can be cut without changing any
  /// id, if the rest is encoded as kContinuation; npos if there is none.
  virtual size_t safe_cut(std::string_view part, size_t begin) const = 0;

  /// Whether kStart and kAfterToken may give other ids than kContinuation.
  virtual bool adds_prefix() const = 0;
};

}  // namespace twofour::text
