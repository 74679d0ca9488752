// Calibration data: windows of token ids on which a model's layers are observed while it is pruned.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "twofour/text/documents.h"

namespace twofour::prune {

/// How windows are drawn.
enum class Sampling {
  /// One stream, cut into windows from a random offset; a random subset of the windows, without
  /// repetition. The stream is the token files as they are, and then texts with their documents
  /// as `twofour data` writes them: encoded without special tokens, each followed by the
  /// end-of-text id. All texts are read, but only a random subset of their documents is encoded:
  /// in a random order, until there are 8 · samples · context ids or no more documents. They stand
  /// in the stream in the order of the files. A document of plain text above a few hundred kB is
  /// drawn in parts.
  kStream,
  /// As the published loaders of SparseGPT and Wanda: every sample is a random window of a random
  /// document that is longer than the context. Documents may repeat. A document is encoded with the
  /// special tokens that the tokenizer adds to a text (LLaMA's <s>) and no end-of-text id. Token
  /// files do not tell where documents begin, so they count as one long document, as in those
  /// loaders' WikiText; they cannot be mixed with texts.
  kSparseGpt
};

struct CalibrationOptions {
  std::vector<std::filesystem::path> files;  ///< token files (.bin), text or JSON lines
  int64_t samples = 128;
  int64_t context = 0;  ///< ids of a sample
  uint64_t seed = 0;
  Sampling sampling = Sampling::kStream;
  std::filesystem::path tokenizer;  ///< a folder or file; only read for text
  int64_t vocabulary = 0;           ///< ids must be below
  text::DocumentOptions documents;  ///< of texts; safe_cut and part_bytes are set here
  /// While texts are read, with the bytes of all of them (0 = unknown).
  std::function<void(uint64_t bytes_done, uint64_t bytes)> progress;
};

struct Calibration {
  at::Tensor ids;    ///< [samples, context], int64
  std::string hash;  ///< of the ids' bytes (base/hash.h)
};

/// Draws the samples. A pure function of the content of the files and the options; random numbers
/// are Philox's. Reads each text once, in memory that depends on samples · context and not on the
/// files, except that kSparseGpt holds the ids of one whole document.
///
/// Throws Error if there are fewer ids than samples · context, or for kSparseGpt no document longer
/// than the context (with both numbers), if an id is not below the vocabulary (with file and
/// place), if text needs a tokenizer that is missing, and as the readers do.
Calibration draw_calibration(const CalibrationOptions& options);

}  // namespace twofour::prune
