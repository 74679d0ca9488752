// The half of a tokenizer behind its added tokens: text between two of them to ids, ids to bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "twofour/text/word_cache.h"

namespace twofour::text {

/// Where a part stands decides whether a space is put before it.
enum class Place {
  kStart,         ///< at the start of the text
  kAfterToken,    ///< behind an added token
  kContinuation,  ///< behind a part that was cut at safe_cut(): nothing is put before it
};

/// Immutable; all functions may be called from several threads at once. All text is valid UTF-8.
class PartEncoder {
 public:
  virtual ~PartEncoder() = default;

  /// The normalized form of `part`, in which added tokens with "normalized" are looked for: `part`
  /// itself, or a view of `buffer`.
  virtual std::string_view normalize(std::string_view part, Place place,
                                     std::string& buffer) const = 0;
  virtual bool normalizes() const = 0;  ///< false: normalize() gives back what it gets

  /// Appends the ids of a part of normalized text; `cache` remembers words, one for each thread and
  /// encoder.
  virtual void encode(std::string_view normalized, Place place, WordCache& cache,
                      std::vector<int32_t>& ids) const = 0;

  /// The first place in [begin, part.size()) known to be one where the part can be cut without
  /// changing any id, if the rest is encoded as kContinuation; npos when there is none.
  virtual size_t safe_cut(std::string_view part, size_t begin) const = 0;

  /// Whether kStart and kAfterToken may give other ids than kContinuation.
  virtual bool adds_prefix() const = 0;

  /// What `id` decodes to; empty for an id without a piece.
  virtual const std::string& bytes(int32_t id) const = 0;
};

}  // namespace twofour::text
