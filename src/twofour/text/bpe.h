// Byte-pair encoding: the pieces of a vocabulary and the ranked merges between them (Sennrich et
// al., arXiv 1508.07909, section 3.2; on bytes as in GPT-2).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "twofour/text/bpe_merges.h"

namespace twofour::text {

/// Immutable after construction; encode() may be called from several threads at once.
class Bpe {
 public:
  struct Merge {
    int32_t left, right;
  };

  /// `pieces`: bytes by id (empty: an id that BPE never gives). `merges` by rank; both parts and
  /// their concatenation must be pieces. Throws Error (a reason, to follow "cannot load …: ") if a
  /// byte or the result of a merge has no piece.
  Bpe(std::vector<std::string> pieces, const std::vector<Merge>& merges, bool ignore_merges);

  /// Appends the ids of one word (a piece of the splitting rule): the merge of lowest rank first,
  /// the leftmost of equals, until none is left. O(n log n). With ignore_merges, a word that is a
  /// piece is its id.
  void encode(std::string_view word, std::vector<int32_t>& ids) const;

  const std::string& piece(int32_t id) const { return pieces_[static_cast<size_t>(id)]; }
  int32_t size() const { return static_cast<int32_t>(pieces_.size()); }
  std::optional<int32_t> find(std::string_view piece) const;

 private:
  std::vector<std::string> pieces_;
  std::unordered_map<std::string_view, int32_t> by_piece_;
  std::array<int32_t, 256> byte_ids_{};
  BpeMerges merges_;
  bool ignore_merges_;
};

}  // namespace twofour::text
