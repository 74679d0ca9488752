#include "twofour/kernels/products/many_tokens/product24.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>

#include "twofour/base/error.h"
#include "twofour/base/parallel.h"
#include "twofour/kernels/dispatch.h"
#include "twofour/kernels/products/many_tokens/product24_loops.h"
#include "twofour/kernels/products/many_tokens/strips/strips24.h"
#include "twofour/kernels/products/many_tokens/tiles/tiles24.h"

namespace twofour::kernels {
namespace {

constexpr int64_t kMostRows = 1024;  // accumulators of a task: 256 KiB, a share of the L2 cache
constexpr int64_t kTasksPerThread = 4;

// The memory of a thread: a tile and the accumulators [kMostRows, 64].
struct Scratch {
  static constexpr size_t kTileBytes = 4 * kBlockGroups * kSlotBytes;
  static constexpr size_t kBytes = kTileBytes + kMostRows * kTileTokens * sizeof(float);
  Scratch() : memory(static_cast<std::byte*>(std::aligned_alloc(4096, kBytes)), &std::free) {
    if (!memory) throw std::bad_alloc();
  }
  std::byte* tile() { return memory.get(); }
  float* sums() { return reinterpret_cast<float*>(memory.get() + kTileBytes); }
  std::unique_ptr<std::byte, decltype(&std::free)> memory;
};

Scratch& scratch() {
  thread_local Scratch memory;
  return memory;
}

// Rows of a task: few enough that every thread gets several tasks, and a multiple of 16 so that a
// store fills whole cache lines.
int64_t rows_of_task(int64_t rows, int64_t tiles) {
  const int64_t wanted = std::max<int64_t>(1, kTasksPerThread * thread_count() / tiles);
  const int64_t parts = std::max(wanted, (rows + kMostRows - 1) / kMostRows);
  const int64_t share = (rows + parts - 1) / parts;
  return std::min(kMostRows, std::max<int64_t>(64, (share + 15) / 16 * 16));
}

// Runs sums(first_row, rows, tile, sums) for every task: rows of the panel times tiles of 64. Tasks
// of the same rows are consecutive, so their panel stays in the cache.
template <class Fn>
void for_tasks(const Panel24& a, int64_t tiles, Fn&& task) {
  const int64_t rows = rows_of_task(a.rows(), tiles);
  const int64_t parts = (a.rows() + rows - 1) / rows;
  parallel_for(0, parts * tiles, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i / tiles * rows;
      task(first, std::min(rows, a.rows() - first), i % tiles, scratch());
    }
  });
}

// sums += the panel's rows of one block times the tile.
template <class T>
void multiply_block(const Panel24& a, int64_t block, int64_t first_row, int64_t rows,
                    int64_t vectors, Scratch& memory) {
  const ProductLoops<T>& loops = product_loops<T>();
  const int64_t groups = std::min(kBlockGroups, a.groups() - block * kBlockGroups);
  float* sums = memory.sums();
  for (int64_t quad = first_row / kQuad; quad * kQuad < first_row + rows; ++quad) {
    loops.multiply(a.words(block, quad), a.offsets(block, quad), groups, memory.tile(), vectors,
                   sums);
    sums += kQuad * kTileTokens;
  }
}

template <class T>
void start_sums(const T* bias, int64_t rows, float* sums) {
  const int64_t padded = (rows + kQuad - 1) / kQuad * kQuad;
  for (int64_t r = 0; r < padded; ++r) {
    const float value = bias && r < rows ? to_float(bias[r]) : 0.0f;
    std::fill_n(sums + r * kTileTokens, kTileTokens, value);
  }
}

template <class T>
void check_kind(const Panel24& a) {
  if (a.kind() != panel_kind<T>()) fail("the panel was made for another instruction set or dtype");
}

}  // namespace

template <class T>
const ProductLoops<T>& product_loops() {
  if constexpr (kIsX86) {
    if (usable().avx512) return product_avx512<T>();
    if (usable().avx2) return product_avx2<T>();
  }
  return product_reference<T>();
}

template <class T>
void multiply_transposed(const Panel24& a, const T* x, int64_t tokens, int64_t x_stride, T* y,
                         int64_t y_stride, const std::type_identity_t<T>* bias) {
  check_kind<T>(a);
  if (tokens == 0) return;
  if constexpr (kIsX86) {
    if (a.terms()) return multiply_transposed_tiles(a, x, tokens, x_stride, y, y_stride, bias);
    if (has_strips(a.kind())) {
      return multiply_transposed_strips(a, x, tokens, x_stride, y, y_stride, bias);
    }
  }
  const ProductLoops<T>& loops = product_loops<T>();
  const int64_t tiles = (tokens + kTileTokens - 1) / kTileTokens;
  for_tasks(a, tiles, [&](int64_t row, int64_t rows, int64_t tile, Scratch& memory) {
    const int64_t token = tile * kTileTokens, here = std::min(kTileTokens, tokens - token);
    start_sums<T>(bias ? bias + row : nullptr, rows, memory.sums());
    for (int64_t block = 0; block < a.blocks(); ++block) {
      const int64_t group = block * kBlockGroups;
      loops.load_transposed(x + token * x_stride + 4 * group, here, x_stride,
                            std::min(kBlockGroups, a.groups() - group), memory.tile());
      multiply_block<T>(a, block, row, rows, (here + 15) / 16, memory);
    }
    loops.store_transposed(memory.sums(), rows, here, y + token * y_stride + row, y_stride);
  });
}

template <class T>
void multiply_add(const Panel24& a, const T* x, int64_t width, int64_t x_stride, float* y,
                  int64_t y_stride) {
  check_kind<T>(a);
  if (width == 0) return;
  if constexpr (kIsX86) {
    if (a.terms()) return multiply_add_tiles(a, x, width, x_stride, y, y_stride);
    if (has_strips(a.kind())) return multiply_add_strips(a, x, width, x_stride, y, y_stride);
  }
  const ProductLoops<T>& loops = product_loops<T>();
  const int64_t tiles = (width + kTileTokens - 1) / kTileTokens;
  for_tasks(a, tiles, [&](int64_t row, int64_t rows, int64_t tile, Scratch& memory) {
    const int64_t column = tile * kTileTokens, here = std::min(kTileTokens, width - column);
    start_sums<T>(nullptr, rows, memory.sums());
    for (int64_t block = 0; block < a.blocks(); ++block) {
      const int64_t group = block * kBlockGroups, k = 4 * group;
      const int64_t groups = std::min(kBlockGroups, a.groups() - group);
      loops.load_rows(x + k * x_stride + column, std::min(4 * groups, a.columns() - k), here,
                      x_stride, groups, memory.tile());
      multiply_block<T>(a, block, row, rows, (here + 15) / 16, memory);
    }
    loops.add_rows(memory.sums(), rows, here, y + row * y_stride + column, y_stride);
  });
}

#define TWOFOUR_INSTANTIATE(T)                                                                  \
  template const ProductLoops<T>& product_loops<T>();                                           \
  template void multiply_transposed<T>(const Panel24&, const T*, int64_t, int64_t, T*, int64_t, \
                                       const std::type_identity_t<T>*);                         \
  template void multiply_add<T>(const Panel24&, const T*, int64_t, int64_t, float*, int64_t);
TWOFOUR_INSTANTIATE(float)
TWOFOUR_INSTANTIATE(bfloat16)
TWOFOUR_INSTANTIATE(float16)
#undef TWOFOUR_INSTANTIATE

}  // namespace twofour::kernels
