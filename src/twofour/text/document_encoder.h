// Encodes documents for token files.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "twofour/text/documents.h"
#include "twofour/text/tokenizer.h"

namespace twofour::text {

/// The id with which every document ends. Throws Error when the tokenizer has none.
int32_t end_of_text_of(const Tokenizer& tokenizer);

/// Encodes parts of documents in batches, over all threads, and ends each document with the
/// tokenizer's end-of-text id.
class DocumentEncoder {
 public:
  /// Gets the ids of each part, in order.
  using Sink = std::function<void(std::span<const int32_t> ids, bool ends_document)>;

  /// Throws Error when the tokenizer has no end-of-text id. `tokenizer` must outlive this.
  DocumentEncoder(const Tokenizer& tokenizer, Sink sink);

  /// Returns whether a batch was full and went to the sink.
  bool add(Part part);
  /// The last batch goes to the sink.
  void finish();

 private:
  const Tokenizer& tokenizer_;
  Sink sink_;
  int32_t end_of_text_;
  std::vector<Part> batch_;
  size_t batch_bytes_ = 0;
  bool inside_document_ = false;  // behind the last part of the last batch
};

}  // namespace twofour::text
