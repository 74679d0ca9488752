// Makes the token files of a data folder from documents.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "twofour/text/documents.h"
#include "twofour/text/tokenizer.h"

namespace twofour::text {

struct PrepareOptions {
  std::vector<std::filesystem::path> inputs;
  std::filesystem::path out;
  double val_fraction = 0.05;  ///< share of the documents that goes to val.bin, chosen by `seed`
  uint64_t seed = 1;
  bool nanogpt = false;       ///< bare uint16 files without .json
  DocumentOptions documents;  ///< safe_cut is the tokenizer's
  std::function<void(uint64_t bytes_done, uint64_t bytes, int64_t tokens)> progress;
};

struct PrepareSummary {
  int64_t train_tokens = 0, train_documents = 0;
  int64_t val_tokens = 0, val_documents = 0;
  int64_t empty_documents = 0;
};

/// Writes OUT/train.bin, OUT/val.bin (with val_fraction > 0) and OUT/tokenizer/. Every document
/// ends with the end-of-text token; a document's file depends only on `seed` and its number.
/// Nothing appears unless all inputs were read; without val_fraction an earlier val.bin is removed.
/// Throws Error if a file cannot be read, another process is writing to OUT, the tokenizer has no
/// end-of-text token, or no document is left for one of the files.
PrepareSummary prepare(const Tokenizer& tokenizer, const PrepareOptions& options);

}  // namespace twofour::text
