// x as lines: a line is 64 bytes of columns of one token as they lie in memory, a chunk the columns
// of a line: 32 of bfloat16, 16 of float32, which float16 becomes. Packed are, of some tokens, the
// lines of the first chunk, then of the next; zeros fill the last chunk up. A permutation brings 16
// words of a weight the columns that they keep: see lines24_avx512.h.
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
