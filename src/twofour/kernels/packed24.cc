#include "twofour/kernels/packed24.h"

#include <array>
#include <atomic>

#include "twofour/base/error.h"
#include "twofour/base/parallel.h"

namespace twofour::kernels {
namespace {

constexpr int64_t kRowsAtATime = 16;

constexpr std::array<uint8_t, 16> make_positions() {
  std::array<uint8_t, 16> table{};
  for (int kept = 0; kept < 16; ++kept) {
    int set[4] = {}, count = 0;
    for (int i = 0; i < 4; ++i) {
      if (kept >> i & 1) set[count++] = i;
    }
    if (count > 2) continue;
    if (count == 0) set[0] = 0;
    if (count < 2) set[1] = set[0] == 3 ? 3 : set[0] + 1;
    if (count == 1 && set[0] == 3) set[0] = 2;
    table[static_cast<size_t>(kept)] = static_cast<uint8_t>(set[0] | set[1] << 2);
  }
  return table;
}

constexpr std::array<uint8_t, 16> kPositions = make_positions();

// kept(r, c) says whether an entry stays.
template <class T, class Kept>
Packed24<T> pack(const T* weight, int64_t rows, int64_t columns, int64_t stride, Kept&& kept) {
  if (columns % 4 != 0) fail("{} columns are not a multiple of 4, as 2:4 needs", columns);
  Packed24<T> packed{rows, columns, {}, {}};
  packed.values.resize(static_cast<size_t>(rows * columns / 2));
  packed.positions.resize(static_cast<size_t>(rows * packed.position_bytes()));
  std::atomic<int64_t> violation = rows * columns;
  parallel_for(0, rows, kRowsAtATime, [&](int64_t first, int64_t last) {
    for (int64_t r = first; r < last; ++r) {
      const T* row = weight + r * stride;
      T* values = packed.values.data() + r * columns / 2;
      uint8_t* positions = packed.positions.data() + r * packed.position_bytes();
      for (int64_t g = 0; g < columns / 4; ++g) {
        uint32_t set = 0;
        for (int i = 0; i < 4; ++i) set |= uint32_t{kept(r, 4 * g + i)} << i;
        const uint32_t position = position_of(set);
        if (position == 0) {
          int64_t seen = violation;
          const int64_t here = r * columns + 4 * g;
          while (here < seen && !violation.compare_exchange_weak(seen, here)) {
          }
        }
        values[2 * g] = row[4 * g + (position & 3)];
        values[2 * g + 1] = row[4 * g + (position >> 2)];
        positions[g / 2] =
            static_cast<uint8_t>(g % 2 ? positions[g / 2] | position << 4 : position);
      }
    }
  });
  if (violation < rows * columns) {
    fail(
        "the matrix is not 2:4 sparse: row {} keeps more than two of the four entries from column "
        "{} on",
        violation / columns, violation % columns);
  }
  return packed;
}

}  // namespace

uint32_t position_of(uint32_t kept) { return kPositions[kept & 15]; }

template <class T>
Packed24<T> pack24(const T* weight, int64_t rows, int64_t columns, int64_t stride) {
  return pack(weight, rows, columns, stride,
              [&](int64_t r, int64_t c) { return to_float(weight[r * stride + c]) != 0.0f; });
}

template <class T>
Packed24<T> pack24(const T* weight, int64_t rows, int64_t columns, int64_t stride,
                   const uint8_t* mask) {
  Packed24<T> packed = pack(weight, rows, columns, stride,
                            [&](int64_t r, int64_t c) { return mask[r * columns + c] != 0; });
  // A group that keeps fewer than two must not take along what its mask removed.
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t g = 0; g < packed.groups(); ++g) {
      const uint32_t position = packed.position(r, g);
      T* values = packed.values.data() + r * columns / 2 + 2 * g;
      const uint8_t* kept = mask + r * columns + 4 * g;
      if (!kept[position & 3]) values[0] = T{};
      if (!kept[position >> 2]) values[1] = T{};
    }
  }
  return packed;
}

template <class T>
void unpack24(const Packed24<T>& packed, T* weight, int64_t stride) {
  parallel_for(0, packed.rows, kRowsAtATime, [&](int64_t first, int64_t last) {
    for (int64_t r = first; r < last; ++r) {
      const T* values = packed.values.data() + r * packed.columns / 2;
      for (int64_t g = 0; g < packed.groups(); ++g) {
        const uint32_t position = packed.position(r, g);
        T* group = weight + r * stride + 4 * g;
        for (int i = 0; i < 4; ++i) group[i] = T{};
        group[position & 3] = values[2 * g];
        group[position >> 2] = values[2 * g + 1];
      }
    }
  });
}

#define TWOFOUR_INSTANTIATE(T)                                                         \
  template Packed24<T> pack24<T>(const T*, int64_t, int64_t, int64_t);                 \
  template Packed24<T> pack24<T>(const T*, int64_t, int64_t, int64_t, const uint8_t*); \
  template void unpack24<T>(const Packed24<T>&, T*, int64_t);
TWOFOUR_INSTANTIATE(float)
TWOFOUR_INSTANTIATE(bfloat16)
TWOFOUR_INSTANTIATE(float16)
#undef TWOFOUR_INSTANTIATE

}  // namespace twofour::kernels
