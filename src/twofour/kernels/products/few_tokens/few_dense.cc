#include "twofour/kernels/products/few_tokens/few_dense.h"

#include <algorithm>
#include <array>
#include <type_traits>
#include <vector>

#include "twofour/base/parallel.h"
#include "twofour/kernels/buffer.h"
#include "twofour/kernels/dispatch.h"
#include "twofour/kernels/products/few_tokens/few_dense_loops.h"

namespace twofour::kernels {
namespace {

constexpr int64_t kStripRows = 16;               // fill whole cache lines of y
constexpr int64_t kBytesPerThread = 192 << 10;   // of weights; fewer do not pay for a second thread
constexpr int64_t kEntriesPerThread = 32 << 10;  // of x, to prepare

template <class T>
const DenseLoops<T>& dense_loops() {
  if constexpr (kIsX86) {
    if (usable().avx512_bf16) return few_dense_avx512bf16<T>();
    if (usable().avx512) return few_dense_avx512<T>();
    if (usable().avx2) return few_dense_avx2<T>();
  }
  return few_dense_reference<T>();
}

template <class T>
const DenseLoops<T>& loops_of(const DenseView<T>&) {
  return dense_loops<T>();
}
template <class T>
const FewLoops<T>& loops_of(const Packed24View<T>&) {
  return few_loops<T>();
}

template <class T>
int64_t row_bytes(const DenseView<T>& a) {
  return a.columns * static_cast<int64_t>(sizeof(T));
}
template <class T>
int64_t row_bytes(const Packed24View<T>& a) {
  return a.columns / 2 * static_cast<int64_t>(sizeof(T)) + a.position_bytes();
}

template <class T>
int64_t strips_of(const FewProduct<T>& product) {
  return (product.rows() + kStripRows - 1) / kStripRows;
}

// x as prepared for each kind of weight, in memory of the preparing thread.
template <class T>
class PreparedX {
 public:
  PreparedX(const T* x, int64_t tokens, int64_t columns, int64_t stride)
      : x_(x), tokens_(tokens), columns_(columns), stride_(stride) {}

  template <class A>
  void prepare_for(const A& a) {
    if (of(a)) return;
    thread_local Buffer<std::byte> memory;
    const FewLoops<T, A>& loops = loops_of(a);
    memory.resize(loops.x_bytes(tokens_, columns_));
    std::byte* const out = memory.data();
    const int64_t blocks = kEntriesPerThread / tokens_ / kFewColumns;
    parallel_for(0, columns_, std::max<int64_t>(blocks, 1) * kFewColumns,
                 [&](int64_t first, int64_t last) {
                   loops.load(x_, tokens_, columns_, stride_, first, last, out);
                 });
    ready_[kKind<A>] = out;
  }

  template <class A>
  const std::byte* of(const A&) const {
    return ready_[kKind<A>];
  }

  int64_t tokens() const { return tokens_; }

 private:
  template <class A>
  static constexpr size_t kKind = std::is_same_v<A, Packed24View<T>>;

  const T* x_;
  int64_t tokens_, columns_, stride_;
  std::array<const std::byte*, 2> ready_{};
};

// The rows [first, last) of one product.
template <class T, class A>
void multiply_rows(const FewProduct<T>& product, const A& a, int64_t first, int64_t last,
                   const PreparedX<T>& x) {
  const FewLoops<T, A>& loops = loops_of(a);
  const int64_t tokens = x.tokens();
  alignas(64) float sums[kFewTokens * kFewRows];
  for (int64_t row = first; row < last; row += kFewRows) {
    const int64_t rows = std::min(kFewRows, last - row);
    loops.multiply(a, row, rows, x.of(a), tokens, sums);
    const T* const bias = product.bias ? product.bias + row : nullptr;
    for (int64_t t = 0; t < tokens; ++t) {
      loops.finish(sums + t * kFewRows, rows, bias, product.y + t * product.y_stride + row);
    }
  }
}

// Strips [first, last) of the rows of all products, in order.
template <class T>
void multiply_strips(std::span<const FewProduct<T>> products, const PreparedX<T>& x, int64_t first,
                     int64_t last) {
  for (const FewProduct<T>& product : products) {
    const int64_t strips = strips_of(product), end = std::min(last, strips);
    const auto multiply = [&](const auto& a) {
      multiply_rows(product, a, first * kStripRows, std::min(end * kStripRows, a.rows), x);
    };
    if (first < end) std::visit(multiply, product.a);
    first = std::max<int64_t>(first - strips, 0);
    last -= strips;
    if (last <= 0) return;
  }
}

template <class T>
void multiply_at_most_64(std::span<const FewProduct<T>> products, const T* x, int64_t tokens,
                         int64_t x_stride) {
  PreparedX<T> prepared(x, tokens, products[0].columns(), x_stride);
  int64_t strips = 0, bytes = 0;
  for (const FewProduct<T>& product : products) {
    strips += strips_of(product);
    const auto prepare = [&](const auto& a) {
      prepared.prepare_for(a);
      bytes += a.rows * row_bytes(a);
    };
    std::visit(prepare, product.a);
  }
  const int64_t grain = kBytesPerThread * strips / std::max<int64_t>(bytes, 1);
  parallel_for(0, strips, grain, [&](int64_t first, int64_t last) {
    multiply_strips(products, prepared, first, last);
  });
}

}  // namespace

template <class T>
void multiply_few(std::span<const FewProduct<T>> products, const T* x, int64_t tokens,
                  int64_t x_stride) {
  if (products.empty()) return;
  if (tokens <= kFewTokens) return multiply_at_most_64(products, x, tokens, x_stride);
  std::vector<FewProduct<T>> later(products.begin(), products.end());
  for (int64_t t = 0; t < tokens; t += kFewTokens) {
    multiply_at_most_64<T>(later, x + t * x_stride, std::min(kFewTokens, tokens - t), x_stride);
    for (FewProduct<T>& each : later) each.y += kFewTokens * each.y_stride;
  }
}

#define TWOFOUR_INSTANTIATE(T) \
  template void multiply_few<T>(std::span<const FewProduct<T>>, const T*, int64_t, int64_t);
TWOFOUR_INSTANTIATE(float)
TWOFOUR_INSTANTIATE(bfloat16)
TWOFOUR_INSTANTIATE(float16)
#undef TWOFOUR_INSTANTIATE

}  // namespace twofour::kernels
