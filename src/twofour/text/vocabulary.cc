#include "twofour/text/vocabulary.h"

#include <algorithm>

#include "twofour/base/error.h"

namespace twofour::text {

PieceIds::PieceIds(const std::vector<std::string>& pieces) {
  ids_.reserve(pieces.size());
  for (size_t id = 0; id < pieces.size(); ++id) {
    if (!pieces[id].empty()) ids_.emplace(pieces[id], static_cast<int32_t>(id));
  }
}

std::optional<int32_t> PieceIds::find(std::string_view piece) const {
  const auto found = ids_.find(piece);
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

int32_t largest_id(const fs::path& path, const Json& vocabulary) {
  if (!vocabulary.is_object() || vocabulary.empty()) {
    refuse(path, "its vocabulary is no object of ids");
  }
  int32_t largest = 0;
  for (const auto& [piece, value] : vocabulary.items()) {
    largest = std::max(largest, read_id(path, value, piece));
  }
  return largest;
}

Vocabulary read_piece_ids(const fs::path& path, const Json& vocabulary) {
  Vocabulary out;
  out.pieces.resize(static_cast<size_t>(largest_id(path, vocabulary)) + 1);
  for (const auto& [piece, value] : vocabulary.items()) {
    const int32_t id = read_id(path, value, piece);
    auto& slot = out.pieces[static_cast<size_t>(id)];
    if (slot) refuse(path, fmt::format("two pieces have the id {}", id));
    slot = piece;
    out.ids[piece] = id;
  }
  return out;
}

MergeList read_merge_list(const fs::path& path, const Json& merges) {
  if (!merges.is_array()) refuse(path, "its merges are no list");
  MergeList out;
  const bool are_lines = !merges.empty() && merges[0].is_string();
  for (const Json& merge : merges) {
    if (are_lines && merge.is_string()) {
      const auto& line = merge.get_ref<const std::string&>();
      if (line.starts_with("#version")) continue;
      const size_t space = line.find(' ');
      if (space != std::string::npos && line.find(' ', space + 1) == std::string::npos) {
        out.emplace_back(line.substr(0, space), line.substr(space + 1));
        continue;
      }
    } else if (!are_lines && merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
               merge[1].is_string()) {
      out.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
      continue;
    }
    refuse(path, fmt::format("merge {} is {}, expected two pieces", out.size() + 1,
                             printable(merge.dump())));
  }
  return out;
}

std::string byte_piece(int byte) { return fmt::format("<0x{:02X}>", byte); }

std::array<int32_t, 256> find_byte_pieces(const fs::path& path, const PieceIds& ids) {
  std::array<int32_t, 256> bytes;
  for (int byte = 0; byte < 256; ++byte) {
    const auto id = ids.find(byte_piece(byte));
    if (!id)
      refuse(path, fmt::format("byte_fallback is on but \"{}\" is no piece", byte_piece(byte)));
    bytes[static_cast<size_t>(byte)] = *id;
  }
  return bytes;
}

}  // namespace twofour::text
