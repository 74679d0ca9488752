// Training batches: which windows of a token file each step sees. Stateless: the windows are a pure
// function of (seed, position), so that one counter in the checkpoint resumes exactly.
#pragma once

#include <cstdint>
#include <span>

#include "twofour/text/token_file.h"

namespace twofour::text {

/// Windows of `context` + 1 tokens (inputs and their next tokens) in a random order without
/// replacement: an epoch cuts the file at a random offset into floor((size - offset - 1) / context)
/// neighbouring windows and visits each once, in an order drawn anew every epoch.
class Batches {
 public:
  /// Throws Error when the file holds fewer than context + 1 tokens (both numbers are named).
  Batches(const TokenFile& file, int64_t context, uint64_t seed);

  /// Fills `inputs` and `targets` [rows, context], rows = inputs.size() / context, with the windows
  /// number `position`, `position` + 1, … of the endless sequence.
  void read(int64_t position, std::span<int64_t> inputs, std::span<int64_t> targets) const;

  int64_t windows_per_epoch() const;

 private:
  int64_t window_start(int64_t position) const;
  const TokenFile& file_;
  int64_t context_;
  uint64_t seed_;
};

}  // namespace twofour::text
