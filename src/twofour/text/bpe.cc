#include "twofour/text/bpe.h"

#include "twofour/base/error.h"

namespace twofour::text {
Bpe::Bpe(std::vector<std::string> pieces, const std::vector<Merge>& merges, bool ignore_merges)
    : pieces_(std::move(pieces)), merges_(merges.size()), ignore_merges_(ignore_merges) {
  by_piece_.reserve(pieces_.size());
  for (size_t id = 0; id < pieces_.size(); ++id) {
    if (!pieces_[id].empty()) by_piece_.emplace(pieces_[id], static_cast<int32_t>(id));
  }
  for (int byte = 0; byte < 256; ++byte) {
    const auto id = find(std::string(1, static_cast<char>(byte)));
    if (!id) fail("the vocabulary lacks a piece for the byte 0x{:02x}", byte);
    byte_ids_[static_cast<size_t>(byte)] = *id;
  }
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const auto [left, right] = merges[rank];
    const auto result = find(piece(left) + piece(right));
    if (!result) fail("the result of merge {} is not in the vocabulary", rank + 1);
    merges_.insert(left, right, static_cast<int32_t>(rank), *result);
  }
}

std::optional<int32_t> Bpe::find(std::string_view piece) const {
  const auto found = by_piece_.find(piece);
  if (found == by_piece_.end()) return std::nullopt;
  return found->second;
}

void Bpe::encode(std::string_view word, std::vector<int32_t>& ids) const {
  if (ignore_merges_) {
    if (const auto id = find(word)) {
      ids.push_back(*id);
      return;
    }
  }
  thread_local std::vector<int32_t> symbols;
  symbols.clear();
  for (const char byte : word) symbols.push_back(byte_ids_[static_cast<unsigned char>(byte)]);
  merges_.merge(symbols);
  ids.insert(ids.end(), symbols.begin(), symbols.end());
}

}  // namespace twofour::text
