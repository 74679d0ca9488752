// Documents from text and JSON files, streamed: memory does not grow with the file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "twofour/base/file.h"
#include "twofour/text/content.h"
#include "twofour/text/input.h"

namespace twofour::text {

/// A document, or the next part of a long one.
struct Part {
  std::string text;
  bool ends_document = false;
};

struct DocumentOptions {
  std::string format = "auto";      ///< of the inputs: auto, text, jsonl, json
  std::string text_field = "text";  ///< of a JSON object
  /// Separates the documents of a text; line ends around it belong to no document. Empty: a file is
  /// one document.
  std::string separator = "<|endoftext|>";
  /// A text is one document to the last line end; `separator` does not count.
  bool whole_texts = false;
  /// A place to cut a text so that its parts encode as the whole (Tokenizer::safe_cut).
  std::function<size_t(std::string_view text, size_t begin)> safe_cut;
  size_t part_bytes = size_t{4} << 20;       ///< a longer document of a text comes in parts
  uint64_t largest_document = kLargestText;  ///< of a text that cannot be cut, in bytes
  size_t largest_record = size_t{1} << 30;   ///< a line of JSON lines or a value of JSON, in bytes
};

/// The documents of one input. Empty ones are left out and counted.
class DocumentReader {
 public:
  DocumentReader(Input input, const DocumentOptions& options);
  ~DocumentReader();

  /// The next part; false at the end. Throws Error naming file and line, value or byte for JSON
  /// without a text, text that is not UTF-8, damaged compression.
  bool next(Part& part);

  const Content& content() const { return content_; }
  const Input& input() const;
  int64_t empty_documents() const;

  struct Reader;

 private:
  Content content_;
  std::unique_ptr<Reader> reader_;
};

/// The documents of several inputs, one after another. Logs each decision on formats once.
class DocumentFiles {
 public:
  /// Throws Error if one of them cannot be read, before reading the first. "-" is the standard
  /// input, which can be read only once. A file that is named twice is read twice, with a warning.
  DocumentFiles(std::vector<std::filesystem::path> paths, DocumentOptions options);

  /// As DocumentReader::next.
  bool next(Part& part);

  /// The last part's input and its content.
  const Input& input() const { return reader_->input(); }
  ContentKind kind() const { return reader_->content().kind; }
  /// Bytes of all files read so far and in all (0 = unknown: pipes), for a progress bar.
  uint64_t bytes_done() const;
  uint64_t bytes() const { return bytes_; }
  int64_t empty_documents() const;

 private:
  std::vector<std::filesystem::path> paths_;
  DocumentOptions options_;
  size_t next_path_ = 0;
  std::unique_ptr<DocumentReader> reader_;
  std::set<std::string> said_;
  uint64_t bytes_ = 0, bytes_before_ = 0;
  int64_t empty_before_ = 0;
};

}  // namespace twofour::text
