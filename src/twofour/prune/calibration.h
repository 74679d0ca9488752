// Calibration data: windows of token ids on which a model's layers are observed while it is pruned.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "twofour/text/documents.h"

namespace twofour::prune {

/// How windows are drawn; docs/pruning.md describes both.
enum class Sampling {
  /// All documents in one stream, each followed by the tokenizer's end-of-text id (token files: as
  /// they are), cut into windows from a random offset; a random subset of the windows, without
  /// repetition.
  kStream,
  /// As the published loaders of SparseGPT and Wanda: for every sample, a random document longer
  /// than the window, and a random window in it. Documents may repeat.
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
  text::DocumentOptions documents;
};

struct Calibration {
  at::Tensor ids;    ///< [samples, context], int64
  std::string hash;  ///< of the ids (base/hash.h)
};

/// Draws the samples. A pure function of the content of the files and the options; random numbers
/// are Philox's. Throws Error if the text is too short (with the tokens it has and the number
/// needed), if an id is not below the vocabulary (with file and position), if text needs a
/// tokenizer that is missing, and as the readers do.
Calibration draw_calibration(const CalibrationOptions& options);

}  // namespace twofour::prune
