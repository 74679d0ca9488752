// The file tokenizer.model of sentencepiece: a protocol buffer ("ModelProto" of
// sentencepiece_model.proto), read field by field.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace twofour::text {

struct SentencePiece {
  enum Type { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };
  std::string text;  ///< spaces as U+2581
  float score = 0;
  Type type = kNormal;
};

/// The fields that decide ids, with their defaults in the format.
struct SentencePieceModel {
  enum ModelType { kUnigram = 1, kBpe = 2, kWord = 3, kChar = 4 };
  std::vector<SentencePiece> pieces;  ///< by id
  ModelType model_type = kUnigram;
  bool byte_fallback = false, suffix_whitespace = false;
  int32_t unknown_id = 0, begin_id = 1, end_id = 2, padding_id = -1;  ///< -1: none
  std::string unknown_piece = "<unk>", begin_piece = "<s>", end_piece = "</s>";
  std::string normalizer_name, normalizer_table, normalizer_rules;
  bool add_dummy_prefix = true, remove_extra_whitespaces = true, escape_whitespaces = true;
};

/// Reads the bytes of such a file; unknown fields are skipped. Throws Error `cannot read "PATH": …`
/// for bytes that are no such message, and for a piece that is empty, longer than 1024 bytes, not
/// UTF-8 or duplicate, or whose score is no number.
SentencePieceModel parse_sentencepiece_model(const std::filesystem::path& path,
                                             std::string_view content);

const char* model_type_name(SentencePieceModel::ModelType type);

/// Throws for the faults of pieces named above.
void check_pieces(const std::filesystem::path& path, const std::vector<SentencePiece>& pieces);

}  // namespace twofour::text
