#include "twofour/kernels/decode/attend.h"

#include <algorithm>

#include "twofour/base/parallel.h"
#include "twofour/kernels/buffer.h"
#include "twofour/kernels/decode/attend_table.h"

namespace twofour::kernels {
namespace {

constexpr int64_t kBytesPerThread = 128 << 10;  // of keys and values

}  // namespace

template <class T>
void attend(std::span<const AttendRow<T>> rows, const AttendShape& shape) {
  const int64_t groups = shape.key_value_heads, queries = shape.heads / groups;
  int64_t tokens = 0;
  for (const AttendRow<T>& row : rows) tokens += row.tokens;
  // A piece is one key-value head of one row.
  const auto pieces = static_cast<int64_t>(rows.size()) * groups;
  const int64_t bytes = 2 * tokens * groups * shape.width * static_cast<int64_t>(sizeof(T));
  const int64_t grain = kBytesPerThread * pieces / std::max<int64_t>(bytes, 1);
  parallel_for(0, pieces, grain, [&](int64_t first, int64_t last) {
    thread_local Buffer<float> scratch;
    for (int64_t piece = first; piece < last; ++piece) {
      const AttendRow<T>& row = rows[static_cast<size_t>(piece / groups)];
      const int64_t group = piece % groups, head = group * shape.capacity * shape.width;
      const int64_t from = group * queries * shape.width;
      scratch.resize(static_cast<size_t>(attend_scratch(queries, row.tokens, shape.width)));
      table<AttendTable<T>>().attend(row.queries + from, queries, row.keys + head,
                                     row.values + head, row.tokens, shape.width, scratch.data(),
                                     row.out + from);
    }
  });
}

#define TWOFOUR_INSTANTIATE(T) \
  template void attend<T>(std::span<const AttendRow<T>>, const AttendShape&);
TWOFOUR_INSTANTIATE(float)
TWOFOUR_INSTANTIATE(bfloat16)
TWOFOUR_INSTANTIATE(float16)
#undef TWOFOUR_INSTANTIATE

}  // namespace twofour::kernels
