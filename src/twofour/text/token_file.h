// Token files: NAME.bin, the ids as little-endian uint16 (uint32 above 65 536 ids) and nothing
// else, with NAME.json beside it. A .bin without a .json is read as llm.c's if it begins with that
// program's header, else as nanoGPT's flat uint16. docs/data-format.md is the specification.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "twofour/base/file.h"

namespace twofour::text {

/// NAME.json of NAME.bin.
std::filesystem::path token_info_path(std::filesystem::path bin);

/// The content of NAME.json.
struct TokenFileInfo {
  int64_t tokens = 0;
  int64_t documents = 0;        ///< 0 = unknown (no .json)
  int bytes_per_token = 2;      ///< 2 or 4
  int32_t vocabulary_size = 0;  ///< 0 = unknown (no .json)
  std::string tokenizer_hash;   ///< Tokenizer::hash(); empty = unknown
  std::string content_hash;     ///< XXH3-128 of the ids as 32 hexadecimal digits; empty = unknown
};

/// A token file mapped read-only.
class TokenFile {
 public:
  /// `path` is the .bin. Throws Error for a missing, empty or truncated file, for a .json that
  /// disagrees with it (naming both values), and for a file of another known kind. Reads no ids:
  /// call check() before computing with them.
  static TokenFile open(const std::filesystem::path& path);

  const TokenFileInfo& info() const { return info_; }
  const std::filesystem::path& path() const { return file_.path(); }
  int64_t size() const { return info_.tokens; }

  /// Copies tokens [first, first + out.size()) widened to 64 bits, as ATen's embedding takes them.
  void read(int64_t first, std::span<int64_t> out) const;

  /// Reads all of it once, at the speed of memory. Throws Error for ids that are not below
  /// `vocabulary` (naming the first and its place), for content that differs from NAME.json's hash,
  /// and without NAME.json for ids that can only be uint32. Afterwards content_hash() costs nothing
  /// and is the hash of the content.
  void check(int64_t vocabulary);

  /// The hash of the ids themselves: the .json's, or without one computed by reading all of it.
  std::string content_hash() const;

 private:
  TokenFile(MappedFile file, TokenFileInfo info, size_t ids_begin);
  std::string_view ids() const { return file_.text().substr(ids_begin_); }
  MappedFile file_;
  TokenFileInfo info_;
  size_t ids_begin_;  // bytes of a header before them
};

/// All ids of the token file `bin`, checked: throws as TokenFile::open() and check() do.
std::vector<int64_t> read_token_ids(const std::filesystem::path& bin, int64_t vocabulary);

/// Writes a token file piece by piece in constant memory; nothing appears before commit().
class TokenFileWriter {
 public:
  /// `with_json` false writes nanoGPT's bare .bin (uint16 only: throws for a larger vocabulary).
  TokenFileWriter(const std::filesystem::path& bin, int32_t vocabulary_size,
                  std::string tokenizer_hash, bool with_json);
  ~TokenFileWriter();

  /// Appends ids of the running document; end_document() closes it.
  void append(std::span<const int32_t> ids);
  void end_document();
  int64_t tokens() const;
  int64_t documents() const;

  /// Makes the file appear. An old .json disappears first and the new one comes last, so that a
  /// .bin never has the .json of another.
  void commit();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace twofour::text
