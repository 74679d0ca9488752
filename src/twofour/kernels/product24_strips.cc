// The products of strips24.h, blocked: a thread packs the tokens that it multiplies; as many strips
// as stay in the second-level cache meet all of them before the next ones come.
#include <algorithm>

#include "twofour/base/parallel.h"
#include "twofour/kernels/buffer.h"
#include "twofour/kernels/strips24.h"

namespace twofour::kernels {
namespace {

constexpr int64_t kResidentBytes = 384 << 10;  // of strips, in the second-level cache
constexpr int64_t kTokensAtATime = 512;        // packed before they are multiplied

// `count` tokens in tiles of at most 16, as even as possible.
struct TokenTiles {
  explicit TokenTiles(int64_t count)
      : count(count), tiles((count + kStripTokens - 1) / kStripTokens) {}
  int64_t begin(int64_t tile) const { return tile * count / tiles; }
  int64_t size(int64_t tile) const { return begin(tile + 1) - begin(tile); }
  int64_t count, tiles;
};

// pack(token, tokens, out) packs a tile of x, multiply(first strip, last strip, x, token, tokens)
// multiplies it.
template <class Pack, class Multiply>
class StripRun {
 public:
  StripRun(const Panel24& a, const Pack& pack, const Multiply& multiply)
      : a_(a), pack_(pack), multiply_(multiply) {}

  void operator()(int64_t tokens) {
    const int64_t threads = thread_count();
    if (tokens >= threads * 4 * kStripTokens) {
      each_its_tokens(tokens);
    } else {
      each_its_strips(tokens);
    }
  }

 private:
  int64_t token_bytes() const { return a_.chunks() * kLineBytes; }

  void each_its_tokens(int64_t tokens) {
    parallel_for(0, tokens, kStripTokens, [&](int64_t begin, int64_t end) {
      thread_local Buffer<std::byte> memory;
      const int64_t parts = (end - begin + kTokensAtATime - 1) / kTokensAtATime;
      for (int64_t part = 0; part < parts; ++part) {
        const int64_t first = begin + part * (end - begin) / parts;
        const int64_t last = begin + (part + 1) * (end - begin) / parts;
        memory.resize(static_cast<size_t>((last - first) * token_bytes()));
        const TokenTiles tiles(last - first);
        for (int64_t tile = 0; tile < tiles.tiles; ++tile) {
          pack_tile(tiles, tile, first, memory.data());
        }
        multiply_strips(0, a_.strips(), tiles, first, memory.data());
      }
    });
  }

  // Few tokens: packed before the threads share the strips out.
  void each_its_strips(int64_t tokens) {
    thread_local Buffer<std::byte> memory;
    memory.resize(static_cast<size_t>(tokens * token_bytes()));
    const TokenTiles tiles(tokens);
    std::byte* const packed = memory.data();
    parallel_for(0, tiles.tiles, 1, [&](int64_t begin, int64_t end) {
      for (int64_t tile = begin; tile < end; ++tile) pack_tile(tiles, tile, 0, packed);
    });
    parallel_for(0, a_.strips(), 1, [&](int64_t begin, int64_t end) {
      multiply_strips(begin, end, tiles, 0, packed);
    });
  }

  void pack_tile(const TokenTiles& tiles, int64_t tile, int64_t first_token, std::byte* packed) {
    const int64_t token = tiles.begin(tile);
    pack_(first_token + token, tiles.size(tile), packed + token * token_bytes());
  }

  void multiply_strips(int64_t begin, int64_t end, const TokenTiles& tiles, int64_t first_token,
                       const std::byte* packed) {
    const int64_t at_a_time = std::max<int64_t>(1, kResidentBytes / a_.strip_bytes());
    for (int64_t strip = begin; strip < end; strip += at_a_time) {
      for (int64_t tile = 0; tile < tiles.tiles; ++tile) {
        const int64_t token = tiles.begin(tile);
        multiply_(strip, std::min(end, strip + at_a_time), packed + token * token_bytes(),
                  first_token + token, tiles.size(tile));
      }
    }
  }

  const Panel24& a_;
  const Pack& pack_;
  const Multiply& multiply_;
};

}  // namespace

template <class T>
void multiply_transposed_strips(const Panel24& a, const T* x, int64_t tokens, int64_t x_stride,
                                T* y, int64_t y_stride, const Epilogue<T>& epilogue) {
  const StripLoops<T>& loops = strip_loops<T>();
  const auto pack = [&](int64_t token, int64_t count, std::byte* out) {
    loops.pack_rows(x + token * x_stride, count, a.columns(), x_stride, out);
  };
  const auto multiply = [&](int64_t first, int64_t last, const std::byte* packed, int64_t token,
                            int64_t count) {
    loops.multiply(a, first, last, packed, count, y + token * y_stride, y_stride,
                   at_offset(epilogue, token, 0));
  };
  StripRun(a, pack, multiply)(tokens);
}

template <class T>
void multiply_add_strips(const Panel24& a, const T* x, int64_t width, int64_t x_stride, float* y,
                         int64_t y_stride) {
  const StripLoops<T>& loops = strip_loops<T>();
  const auto pack = [&](int64_t column, int64_t count, std::byte* out) {
    loops.pack_columns(x + column, a.columns(), count, x_stride, out);
  };
  const auto multiply = [&](int64_t first, int64_t last, const std::byte* packed, int64_t column,
                            int64_t count) {
    loops.multiply_add(a, first, last, packed, count, y + column, y_stride);
  };
  StripRun(a, pack, multiply)(width);
}

#define TWOFOUR_INSTANTIATE(T)                                                                \
  template void multiply_transposed_strips<T>(const Panel24&, const T*, int64_t, int64_t, T*, \
                                              int64_t, const Epilogue<T>&);                   \
  template void multiply_add_strips<T>(const Panel24&, const T*, int64_t, int64_t, float*, int64_t);
TWOFOUR_INSTANTIATE(float)
TWOFOUR_INSTANTIATE(bfloat16)
TWOFOUR_INSTANTIATE(float16)
#undef TWOFOUR_INSTANTIATE

}  // namespace twofour::kernels
