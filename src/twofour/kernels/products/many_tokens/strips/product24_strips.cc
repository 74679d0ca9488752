// The products of strips24.h, blocked.
#include <algorithm>

#include "twofour/base/parallel.h"
#include "twofour/kernels/buffer.h"
#include "twofour/kernels/products/many_tokens/split.h"
#include "twofour/kernels/products/many_tokens/strips/strips24.h"

namespace twofour::kernels {
namespace {

// The blocking of a product of many tokens.
struct Blocking {
  int64_t blocks;  // of columns; each is used for all tokens before the next
  int64_t strips;  // of a block; used for a tile of tokens before the next ones
  int64_t tokens;  // packed before they are multiplied
};

// `strips_are_lines`: the output's lines in memory belong to the rows of the strips.
Blocking blocking_of(int64_t chunks, bool strips_are_lines) {
  constexpr int64_t kNarrow = 64, kTokens = 256;
  if (strips_are_lines && chunks <= kNarrow) {
    // All tokens stay in the second-level cache and strips pass one by one, so the output is
    // written along its lines.
    constexpr int64_t kBlock = 32, kTokenBytes = 512 << 10;
    return {std::max<int64_t>(1, (chunks + kBlock - 1) / kBlock), 1,
            chunks > 0 ? std::min(kTokens, kTokenBytes / (chunks * kLineBytes)) : kTokens};
  }
  // A tile of a block takes half of the first-level cache; its strips stay in the second-level.
  constexpr int64_t kBlock = 24, kStripBytes = 384 << 10;
  const int64_t blocks = std::max<int64_t>(1, (chunks + kBlock - 1) / kBlock);
  const int64_t block_chunks = std::max<int64_t>(1, (chunks + blocks - 1) / blocks);
  return {blocks, kStripBytes / (block_chunks * kChunkBytes), kTokens};
}

constexpr int64_t kFewStrips = 4;  // at a time, for a single tile

// A product of `tokens` rows of x. work.pack(first token, tokens up to 16, out) packs a tile of it,
// work.use(first row, first token, sums) consumes its sums with some strips, and work.target(first
// row, first token) is their destination.
template <class T, class Work>
class StripProduct {
 public:
  StripProduct(const Panel24& a, int64_t tokens, const Work& work)
      : a_(a), work_(work), tokens_(tokens) {}

  void run() const {
    const bool by_tokens = tokens_ >= thread_count() * 4 * kStripTokens;
    split_product(*this, {tokens_, kStripTokens, blocking_.tokens, tokens_, by_tokens});
  }

  // A range of tokens, packed in tiles.
  class Chunk {
   public:
    Chunk(const StripProduct& product, int64_t first, int64_t last, std::byte* packed)
        : product_(product), first_(first), tiles_(last - first, kStripTokens), packed_(packed) {}

    int64_t packs() const { return tiles_.tiles; }

    void pack(int64_t tile) const {
      const int64_t token = tiles_.begin(tile);
      product_.work_.pack(first_ + token, tiles_.size(tile),
                          packed_ + token * product_.token_bytes());
    }

    void multiply(int64_t begin, int64_t end) const {
      product_.multiply(begin, end, tiles_, first_, packed_);
    }

   private:
    const StripProduct& product_;
    int64_t first_;
    TokenTiles tiles_;
    std::byte* packed_;
  };

  int64_t rows() const { return a_.strips(); }
  Chunk chunk(int64_t first, int64_t last) const {
    thread_local Buffer<std::byte> memory;
    memory.resize(static_cast<size_t>((last - first) * token_bytes()));
    return Chunk(*this, first, last, memory.data());
  }

 private:
  int64_t token_bytes() const { return a_.chunks() * kLineBytes; }

  void multiply(int64_t begin, int64_t end, const TokenTiles& tiles, int64_t first_token,
                const std::byte* packed) const {
    thread_local Buffer<float> memory;
    const int64_t blocks = blocking_.blocks;
    const int64_t at_a_time = tiles.tiles == 1 ? kFewStrips : blocking_.strips;
    // Sums are kept for the next block; with a single block they are used at once.
    memory.resize(static_cast<size_t>((blocks > 1 ? tiles.count : kStripTokens) * kStripRows *
                                      std::min(at_a_time, end - begin)));
    for (int64_t strip = begin; strip < end; strip += at_a_time) {
      const int64_t strips = std::min(at_a_time, end - strip);
      for (int64_t block = 0; block < blocks; ++block) {
        const int64_t chunk = block * a_.chunks() / blocks;
        const int64_t chunks = (block + 1) * a_.chunks() / blocks - chunk;
        const std::byte* const here = a_.chunk(strip, chunk);
        const std::byte* const after =
            block + 1 < blocks ? here + chunks * kChunkBytes : a_.chunk(strip + strips, 0);
        for (int64_t tile = 0; tile < tiles.tiles; ++tile) {
          const int64_t token = tiles.begin(tile), tokens = tiles.size(tile);
          float* const sums = memory.data() + (blocks > 1 ? token : 0) * strips * kStripRows;
          const std::byte* const x = packed + token * token_bytes() + chunk * tokens * kLineBytes;
          const int64_t row = strip * kStripRows;
          const bool is_last = block + 1 == blocks;
          const StripTarget target =
              is_last ? work_.target(row, first_token + token) : StripTarget{x, 0, 0};
          loops_.multiply({here, a_.strip_bytes(), strips, chunks, x, tokens,
                           tile + 1 < tiles.tiles ? here : after, target},
                          block == 0, sums);
          if (!is_last) continue;
          const int64_t rows = std::min(strips * kStripRows, a_.rows() - row);
          work_.use(row, first_token + token, StripSums{sums, rows, tokens});
        }
      }
    }
  }

  const Panel24& a_;
  const Work& work_;
  int64_t tokens_;
  const StripLoops<T>& loops_ = strip_loops<T>();
  Blocking blocking_ = blocking_of(a_.chunks(), Work::kStripsAreLines);
};

template <class T, class Work>
void run_strips(const Panel24& a, int64_t tokens, const Work& work) {
  StripProduct<T, Work>(a, tokens, work).run();
}

// y [tokens, rows] = x Aᵀ + bias.
template <class T>
struct Transposed {
  static constexpr bool kStripsAreLines = false;
  void pack(int64_t token, int64_t count, std::byte* out) const {
    strip_loops<T>().pack_rows(x + token * x_stride, count, a.columns(), x_stride, out);
  }
  StripTarget target(int64_t row, int64_t token) const {
    constexpr auto kBytes = static_cast<int64_t>(sizeof(T));
    return {y + token * y_stride + row, y_stride * kBytes, kStripRows * kBytes};
  }
  void use(int64_t row, int64_t token, const StripSums& sums) const {
    strip_loops<T>().store(sums, y + token * y_stride + row, y_stride, bias ? bias + row : nullptr);
  }

  const Panel24& a;
  const T* x;
  int64_t x_stride;
  T* y;
  int64_t y_stride;
  const T* bias;
};

// y [rows, width] += A x; the columns of x are the tokens.
template <class T>
struct Added {
  static constexpr bool kStripsAreLines = true;
  void pack(int64_t column, int64_t count, std::byte* out) const {
    strip_loops<T>().pack_columns(x + column, a.columns(), count, x_stride, out);
  }
  StripTarget target(int64_t row, int64_t column) const {
    constexpr auto kBytes = static_cast<int64_t>(sizeof(float));
    return {y + row * y_stride + column, y_stride * kBytes, kStripRows * y_stride * kBytes};
  }
  void use(int64_t row, int64_t column, const StripSums& sums) const {
    strip_loops<T>().add(sums, y + row * y_stride + column, y_stride);
  }

  const Panel24& a;
  const T* x;
  int64_t x_stride;
  float* y;
  int64_t y_stride;
};

}  // namespace

template <class T>
void multiply_transposed_strips(const Panel24& a, const T* x, int64_t tokens, int64_t x_stride,
                                T* y, int64_t y_stride, const std::type_identity_t<T>* bias) {
  run_strips<T>(a, tokens, Transposed<T>{a, x, x_stride, y, y_stride, bias});
}

template <class T>
void multiply_add_strips(const Panel24& a, const T* x, int64_t width, int64_t x_stride, float* y,
                         int64_t y_stride) {
  run_strips<T>(a, width, Added<T>{a, x, x_stride, y, y_stride});
}

#define TWOFOUR_INSTANTIATE(T)                                                                \
  template void multiply_transposed_strips<T>(const Panel24&, const T*, int64_t, int64_t, T*, \
                                              int64_t, const std::type_identity_t<T>*);       \
  template void multiply_add_strips<T>(const Panel24&, const T*, int64_t, int64_t, float*, int64_t);
TWOFOUR_INSTANTIATE(float)
TWOFOUR_INSTANTIATE(bfloat16)
TWOFOUR_INSTANTIATE(float16)
#undef TWOFOUR_INSTANTIATE

}  // namespace twofour::kernels
