// x as lines. A chunk is the columns in a line of 64 bytes: 32 of bfloat16, 16 of float32, to which
// float16 is converted. A line is a chunk of one token, as in memory. For some tokens, the lines of
// the first chunk are packed, then those of the next; zeros pad the last chunk. A permutation
// selects the columns that 16 words of a weight keep: see lines24_avx512.h.
#pragma once

#include <cstdint>

namespace twofour::kernels {

constexpr int64_t kLineBytes = 64;

/// `count` tokens in tiles of at most `most`, as even as possible.
struct TokenTiles {
  TokenTiles(int64_t count, int64_t most) : count(count), tiles((count + most - 1) / most) {}
  int64_t begin(int64_t tile) const { return tile * count / tiles; }
  int64_t size(int64_t tile) const { return begin(tile + 1) - begin(tile); }
  int64_t count, tiles;
};

}  // namespace twofour::kernels
