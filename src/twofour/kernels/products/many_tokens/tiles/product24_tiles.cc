// The products of tiles24.h, blocked. Up to 384 tokens of x are packed. Some rows are handled at a
// time; their sums stay in the second-level cache while blocks of columns pass. In such a block a
// pair of row tiles is expanded once, in the first-level cache, for all tokens.
#include <algorithm>

#include "twofour/kernels/buffer.h"
#include "twofour/kernels/products/many_tokens/split.h"
#include "twofour/kernels/products/many_tokens/tiles/tiles24.h"

namespace twofour::kernels {
namespace {

// A larger y has left the second-level caches before it is read again. A store past the caches does
// not first read it, line by line in as many pages as there are tokens.
constexpr int64_t kStreamedBytes = int64_t{1} << 20;

constexpr int64_t kTokenPairs = 12;                   // maximum of x at a time
constexpr int64_t kResidentBytes = int64_t{3} << 19;  // of x, in the second-level cache
constexpr int64_t kExpandedBytes = 24576;  // of the first-level cache; sums and x use the rest

// Whether a cache line begins at the address.
bool is_line(const void* address) { return reinterpret_cast<uintptr_t>(address) % 64 == 0; }

// The product of one pair of x and one pair of row tiles.
struct Part {
  int64_t token, tokens, row, rows;
};

// Shared by the loops of one product.
template <class T>
struct Shape {
  const Panel24& a;
  const TileLoops<T>& loops = tile_loops<T>();
  int64_t terms = a.terms(), column_tiles = a.column_tiles();
  int64_t step_bytes = terms * 2 * kOperandTileBytes;  // of x, a pair and column tile
  // Blocks of columns, as even as possible.
  int64_t most_tiles = std::max<int64_t>(1, kExpandedBytes / step_bytes);
  int64_t blocks = (column_tiles + most_tiles - 1) / most_tiles;
  int64_t block_tiles = (column_tiles + blocks - 1) / blocks;
  // Pairs of row tiles at a time. They are few if a chunk of x fits in the second-level cache,
  // which sums share, else many, so that each pass of x does more work.
  int64_t rows = kTokenPairs * column_tiles * step_bytes <= kResidentBytes ? 4 : 32;
};

// Prefetches the next packed tiles while a pair of rows is multiplied, a few lines a step, all of
// them by the end of the last pair of x.
template <class T>
void prefetch_next(const Shape<T>& p, const std::byte* tiles, int64_t pair, int64_t pairs,
                   TileOperands& operands) {
  const int64_t bytes = 2 * packed_tile_bytes(p.terms) * operands.column_tiles;
  const int64_t steps = pairs * operands.column_tiles;
  operands.next_lines = (bytes / 64 + steps - 1) / steps;
  operands.next = tiles + pair * operands.column_tiles * operands.next_lines * 64;
}

// Sums of one chunk of x and some row pairs; use(pair of x, pair of rows) consumes the final sums.
template <class T, class Use>
void multiply_rows(const Shape<T>& p, const std::byte* operand, int64_t pairs, bool half,
                   int64_t first, int64_t last, Use&& use) {
  thread_local Buffer<std::byte> memory;
  const int64_t expanded_bytes = p.block_tiles * p.step_bytes;
  const int64_t blocks_before = p.blocks > 1 ? (last - first) * pairs : 0;
  memory.resize(static_cast<size_t>(expanded_bytes + (2 + blocks_before) * kPairFloats * 4));
  std::byte* expanded = memory.data();
  auto* const turns =
      reinterpret_cast<float*>(expanded + expanded_bytes);  // this pair and the last
  float* const all_before = turns + 2 * kPairFloats;
  PairSums<T> pending;
  int64_t turn = 0;
  for (int64_t block = 0; block < p.blocks; ++block) {
    const int64_t column = block * p.block_tiles;
    TileOperands o{};
    o.column_tiles = std::min(p.block_tiles, p.column_tiles - column);
    o.expanded = expanded;
    for (int64_t row = first; row < last; ++row) {
      o.tiles = p.a.tile(2 * row, column);
      const std::byte* next = p.a.tile(2 * std::min(row + 1, p.a.row_tiles() / 2 - 1), column);
      for (int64_t pair = 0; pair < pairs; ++pair) {
        const bool is_first = block == 0, is_last = block + 1 == p.blocks;
        float* before = nullptr;
        if (p.blocks > 1) before = all_before + ((row - first) * pairs + pair) * kPairFloats;
        o.x = operand + pair * p.column_tiles * p.step_bytes + column * p.step_bytes;
        o.expands = pair == 0;
        o.both = !half || pair + 1 < pairs;
        prefetch_next(p, next, pair, pairs, o);
        float* sums = is_first && !is_last ? before : turns + turn * kPairFloats;
        p.loops.multiply(o, sums, pending);
        pending = use(pair, row);
        if (!is_last) pending.use = is_first ? PairSums<T>::Use::kNone : PairSums<T>::Use::kAdd;
        pending.sums = sums;
        pending.before = is_first ? nullptr : before;
        turn = 1 - turn;
      }
    }
  }
  p.loops.finish(pending);
}

// A product of `tokens` rows of x: pack(first token, tokens up to 32, out) fills a pair of it,
// use(part) consumes its sums with a pair of row tiles.
template <class T, class Pack, class Use>
class TileProduct {
 public:
  TileProduct(const Panel24& a, int64_t tokens, const Pack& pack, const Use& use)
      : p_{a}, tokens_(tokens), pack_(pack), use_(use) {}

  void run() const {
    const int64_t pairs = (tokens_ + kPair - 1) / kPair;
    const bool by_tokens = pairs >= thread_count() * kTokenPairs / 2;
    split_product(*this, {pairs, 1, kTokenPairs, kTokenPairs, by_tokens});
  }

  // A range of pairs of x.
  class Chunk {
   public:
    Chunk(const TileProduct& product, int64_t first, int64_t last, std::byte* operand)
        : product_(product), first_(first), last_(last), operand_(operand) {}

    int64_t packs() const { return last_ - first_; }

    void pack(int64_t pair) const {
      const int64_t token = (first_ + pair) * kPair;
      product_.pack_(token, std::min(kPair, product_.tokens_ - token),
                     operand_ + pair * product_.pair_bytes());
    }

    void multiply(int64_t begin, int64_t end) const {
      product_.p_.loops.start();
      product_.multiply(first_, last_, operand_, begin, end);
      product_.p_.loops.stop();
    }

   private:
    const TileProduct& product_;
    int64_t first_, last_;
    std::byte* operand_;
  };

  int64_t rows() const { return p_.a.row_tiles() / 2; }
  Chunk chunk(int64_t first, int64_t last) const {
    thread_local Buffer<std::byte> memory;
    memory.resize(static_cast<size_t>((last - first) * pair_bytes()));
    return Chunk(*this, first, last, memory.data());
  }

 private:
  int64_t pair_bytes() const { return p_.column_tiles * p_.step_bytes; }

  void multiply(int64_t begin, int64_t end, const std::byte* operand, int64_t first,
                int64_t last) const {
    const bool half = tokens_ - (end - 1) * kPair <= kTileRows;
    const int64_t rows = last - first, groups = (rows + p_.rows - 1) / p_.rows;
    for (int64_t group = 0; group < groups; ++group) {
      multiply_rows(p_, operand, end - begin, half, first + group * rows / groups,
                    first + (group + 1) * rows / groups, [&](int64_t pair, int64_t row_pair) {
                      return use_(part(begin + pair, row_pair));
                    });
    }
  }

  Part part(int64_t pair, int64_t row_pair) const {
    Part part;
    part.token = pair * kPair;
    part.tokens = std::min(kPair, tokens_ - part.token);
    part.row = row_pair * kPair;
    part.rows = std::min(kPair, p_.a.rows() - part.row);
    return part;
  }

  Shape<T> p_;
  int64_t tokens_;
  Pack pack_;
  Use use_;
};

template <class T, class Pack, class Use>
void run(const Panel24& a, int64_t tokens, const Pack& pack, const Use& use) {
  TileProduct<T, Pack, Use>(a, tokens, pack, use).run();
}

}  // namespace

template <class T>
void multiply_transposed_tiles(const Panel24& a, const T* x, int64_t tokens, int64_t x_stride, T* y,
                               int64_t y_stride, const std::type_identity_t<T>* bias) {
  const TileLoops<T>& loops = tile_loops<T>();
  const bool is_large = tokens * a.rows() * static_cast<int64_t>(sizeof(T)) > kStreamedBytes;
  run<T>(
      a, tokens,
      [&](int64_t token, int64_t here, std::byte* out) {
        loops.pack_rows(x + token * x_stride, here, a.columns(), x_stride, out);
      },
      [&](const Part& part) {
        PairSums<T> sums;
        sums.use = PairSums<T>::Use::kStore;
        sums.tokens = part.tokens;
        sums.rows = part.rows;
        sums.y = y + part.token * y_stride + part.row;
        sums.stride = y_stride;
        sums.bias = bias ? bias + part.row : nullptr;
        sums.streams =
            is_large && part.rows == kPair && is_line(sums.y) && is_line(sums.y + y_stride);
        return sums;
      });
}

template <class T>
void multiply_add_tiles(const Panel24& a, const T* x, int64_t width, int64_t x_stride, float* y,
                        int64_t y_stride) {
  const TileLoops<T>& loops = tile_loops<T>();
  run<T>(
      a, width,
      [&](int64_t column, int64_t here, std::byte* out) {
        loops.pack_columns(x + column, a.columns(), here, x_stride, out);
      },
      [&](const Part& part) {
        PairSums<T> sums;
        sums.use = PairSums<T>::Use::kTransposed;
        sums.tokens = part.tokens;
        sums.rows = part.rows;
        sums.gradient = y + part.row * y_stride + part.token;
        sums.stride = y_stride;
        return sums;
      });
}

#define TWOFOUR_INSTANTIATE(T)                                                               \
  template void multiply_transposed_tiles<T>(const Panel24&, const T*, int64_t, int64_t, T*, \
                                             int64_t, const std::type_identity_t<T>*);       \
  template void multiply_add_tiles<T>(const Panel24&, const T*, int64_t, int64_t, float*, int64_t);
TWOFOUR_INSTANTIATE(float)
TWOFOUR_INSTANTIATE(bfloat16)
TWOFOUR_INSTANTIATE(float16)
#undef TWOFOUR_INSTANTIATE

}  // namespace twofour::kernels
