// Inside text/: pieces and merges of Hugging Face's and GPT-2's files.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "twofour/text/json_reader.h"

namespace twofour::text {

/// From pieces to ids. The pieces must outlive it.
class PieceIds {
 public:
  explicit PieceIds(const std::vector<std::string>& pieces);
  std::optional<int32_t> find(std::string_view piece) const;

 private:
  std::unordered_map<std::string_view, int32_t> ids_;
};

/// The largest id of a vocabulary, an object of ids by piece.
int32_t largest_id(const std::filesystem::path& path, const Json& vocabulary);

/// The content of a vocabulary, an object of ids by piece.
struct Vocabulary {
  std::vector<std::optional<std::string>> pieces;  ///< by id; an id without a piece is a hole
  std::unordered_map<std::string, int32_t> ids;
};
Vocabulary read_piece_ids(const std::filesystem::path& path, const Json& vocabulary);

/// Merges by rank as the file writes them: a list of "left right", or of ["left", "right"].
using MergeList = std::vector<std::pair<std::string, std::string>>;
MergeList read_merge_list(const std::filesystem::path& path, const Json& merges);

/// The piece of a single byte: "<0x0A>".
std::string byte_piece(int byte);

/// The ids of all 256; throws if one is missing.
std::array<int32_t, 256> find_byte_pieces(const std::filesystem::path& path, const PieceIds& ids);

}  // namespace twofour::text
