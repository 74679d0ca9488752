// Training batches: the windows of a token file that each step sees. They are a pure function of
// (seed, position), so one counter in the checkpoint resumes exactly.
#pragma once

#include <cstdint>
#include <span>

#include "twofour/text/token_file.h"

namespace twofour::text {

/// Windows of `context` + 1 tokens (inputs and their next tokens) in a random order without
/// replacement. With n = (size - 1) / context windows that fit, an epoch cuts the file into n
/// neighbouring windows at a random offset of at most size - 1 - n · context tokens, and visits
/// each once in an order drawn anew every epoch.
class Batches {
 public:
  /// `file` must outlive this. Throws Error, with both numbers, if it has fewer than context + 1
  /// tokens.
  Batches(const TokenFile& file, int64_t context, uint64_t seed);

  /// Fills `inputs` and `targets` [rows, context], rows = inputs.size() / context, with the windows
  /// number `position`, `position` + 1, … of the endless sequence.
  void read(int64_t position, std::span<int64_t> inputs, std::span<int64_t> targets) const;

  int64_t windows_per_epoch() const { return windows_; }

 private:
  int64_t window_start(int64_t position) const;
  const TokenFile& file_;
  int64_t context_, windows_;
  uint64_t seed_;
};

/// The image of `index` under a random permutation of [0, size), drawn by (seed, epoch): a Feistel
/// network on the next power of four, walked until it lands inside (Black & Rogaway, "Ciphers with
/// arbitrary finite domains", section 4). 0 <= index < size <= 2^62.
int64_t permuted(int64_t index, int64_t size, uint64_t seed, uint32_t epoch);

}  // namespace twofour::text
