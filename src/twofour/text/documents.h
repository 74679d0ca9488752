// Documents from text and JSON-lines files, streamed: memory does not grow with the file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "twofour/text/input.h"

namespace twofour::text {

/// A document, or the next part of a long one.
struct Part {
  std::string text;
  bool ends_document = false;
};

struct DocumentOptions {
  /// What stands between the documents of a .txt file; line ends around it belong to no document.
  /// Empty: a file is one document.
  std::string separator = "<|endoftext|>";
  /// Where a text may be cut so that its parts encode as the whole (Tokenizer::safe_cut).
  std::function<size_t(std::string_view text, size_t begin)> safe_cut;
  size_t part_bytes = size_t{4} << 20;    ///< a longer document of a .txt comes in parts
  size_t largest_line = size_t{1} << 30;  ///< of a .jsonl, in bytes
};

/// Reads .txt (any other name counts as .txt too), .jsonl, .jsonl.gz and .jsonl.zst (field "text").
/// A UTF-8 byte-order mark at the start is skipped; empty documents are left out and counted.
class DocumentReader {
 public:
  DocumentReader(const std::filesystem::path& path, DocumentOptions options);
  ~DocumentReader();

  /// The next part; false at the end. Throws Error naming file and line or byte for JSON that is
  /// not
  /// {"text": "…"}, text that is not UTF-8, damaged compression.
  bool next(Part& part);

  const Input& input() const;
  int64_t empty_documents() const;

  struct Reader;

 private:
  std::unique_ptr<Reader> reader_;
};

}  // namespace twofour::text
