#include "twofour/kernels/training/rank_update.h"

#include <algorithm>
#include <type_traits>

#include "twofour/base/parallel.h"
#include "twofour/kernels/buffer.h"
#include "twofour/kernels/training/accumulate_table.h"
#include "twofour/kernels/training/rank_update_table.h"

namespace twofour::kernels {
namespace {

constexpr int64_t kRowsAtATime = 16;          // their entries of e are read together
constexpr int64_t kResidentFloats = 1 << 16;  // of x, in the second-level cache
constexpr int64_t kFewestColumns = 1024;      // of a block; less than a page of y is slow
constexpr int64_t kEntriesAtATime = 1 << 14;  // fewer do not pay for a second thread

// The terms of some rows of y: the nonzero entries of e, and the starts of their rows of x.
struct Terms {
  Buffer<float> scale;
  Buffer<const float*> row;
  int64_t count[kRowsAtATime];

  template <class T>
  void read(const T* e, int64_t tokens, int64_t rows, int64_t first, int64_t last, const float* x,
            int64_t width) {
    scale.resize(static_cast<size_t>(kRowsAtATime * tokens));
    row.resize(static_cast<size_t>(kRowsAtATime * tokens));
    std::fill(count, count + kRowsAtATime, 0);
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t r = first; r < last; ++r) {
        const float value = to_float(e[t * rows + r]);
        if (value == 0.0f) continue;
        int64_t& own = count[r - first];
        const int64_t at = (r - first) * tokens + own++;
        scale.data()[at] = value;
        row.data()[at] = x + t * width;
      }
    }
  }
};

void add_terms(const Terms& terms, int64_t tokens, int64_t rows, int64_t column, int64_t columns,
               int64_t width, float* y) {
  for (int64_t r = 0; r < rows; ++r) {
    table<RankUpdateTable>().add_scaled_rows(terms.scale.data() + r * tokens,
                                             terms.row.data() + r * tokens, terms.count[r], column,
                                             columns, y + r * width);
  }
}

// x in float32: x itself, or a copy.
inline const float* as_floats(const float* x, int64_t, Buffer<float>&) { return x; }
template <class T>
const float* as_floats(const T* x, int64_t count, Buffer<float>& copy) {
  copy.resize(static_cast<size_t>(count));
  float* const out = copy.data();
  parallel_for(0, count, kEntriesAtATime, [&](int64_t first, int64_t last) {
    std::fill(out + first, out + last, 0.0f);
    table<AccumulateTable<T>>().accumulate(x + first, out + first, last - first);
  });
  return out;
}

}  // namespace

template <class T>
void rank_update(const T* e, const T* x, int64_t tokens, int64_t rows, int64_t width, float* y) {
  if (tokens == 0 || rows == 0 || width == 0) return;
  thread_local Buffer<float> copy;
  const float* const floats = as_floats(x, tokens * width, copy);
  const int64_t block = std::max(kFewestColumns, kResidentFloats / tokens);
  const int64_t grain = std::max<int64_t>(1, kEntriesAtATime / width / kRowsAtATime) * kRowsAtATime;
  parallel_for(0, rows, grain, [&](int64_t begin, int64_t end) {
    Terms terms;
    for (int64_t column = 0; column < width; column += block) {
      const int64_t columns = std::min(block, width - column);
      for (int64_t r = begin; r < end; r += kRowsAtATime) {
        const int64_t last = std::min(end, r + kRowsAtATime);
        terms.read(e, tokens, rows, r, last, floats, width);
        add_terms(terms, tokens, last - r, column, columns, width, y + r * width);
      }
    }
  });
}

#define TWOFOUR_INSTANTIATE(T) \
  template void rank_update<T>(const T*, const T*, int64_t, int64_t, int64_t, float*);
TWOFOUR_INSTANTIATE(float)
TWOFOUR_INSTANTIATE(bfloat16)
TWOFOUR_INSTANTIATE(float16)
#undef TWOFOUR_INSTANTIATE

}  // namespace twofour::kernels
