#include "twofour/kernels/masks/mask.h"

#include <algorithm>
#include <atomic>

#include "twofour/base/error.h"
#include "twofour/base/parallel.h"
#include "twofour/kernels/masks/mask_table.h"

namespace twofour::kernels {
namespace {

constexpr int64_t kBlock = 1 << 15;  // entries that pay for a thread

// Number of rows, of `entries` each, that pays for a thread.
int64_t rows_of_block(int64_t entries) {
  return std::max<int64_t>(1, kBlock / std::max<int64_t>(1, entries));
}

template <class Fn>
int64_t parallel_sum(int64_t count, Fn&& part) {
  std::atomic<int64_t> sum = 0;
  parallel_for(0, count, kBlock, [&](int64_t first, int64_t last) { sum += part(first, last); });
  return sum;
}

}  // namespace

template <class T>
void magnitude_mask(const T* weight, int64_t rows, int64_t columns, int64_t stride, int kept,
                    int group, uint8_t* mask) {
  if (group < 1 || group > 8 || kept < 0 || kept > group) {
    fail("the pattern {}:{} is not one of N:M with N <= M <= 8", kept, group);
  }
  if (columns % group != 0) {
    fail("{} columns are not a multiple of {}, as {}:{} needs", columns, group, kept, group);
  }
  parallel_for(0, rows, rows_of_block(columns), [&](int64_t first, int64_t last) {
    for (int64_t r = first; r < last; ++r) {
      table<MaskTable<T>>().magnitude(weight + r * stride, columns, kept, group,
                                      mask + r * columns);
    }
  });
}

template <class T>
void transposable_mask24(const T* weight, int64_t rows, int64_t columns, int64_t stride,
                         uint8_t* mask) {
  if (rows % 4 != 0 || columns % 4 != 0) {
    fail("a {} x {} matrix has no transposable 2:4 mask: rows and columns must be multiples of 4",
         rows, columns);
  }
  parallel_for(0, rows / 4, rows_of_block(4 * columns), [&](int64_t first, int64_t last) {
    for (int64_t r = 4 * first; r < 4 * last; r += 4) {
      table<MaskTable<T>>().transposable(weight + r * stride, columns, stride, mask + r * columns);
    }
  });
}

int64_t mask_flips(const uint8_t* mask, const uint8_t* other, int64_t count) {
  return parallel_sum(count, [&](int64_t first, int64_t last) {
    return table<MaskBytesTable>().flips(mask + first, other + first, last - first);
  });
}

template <class T>
void apply_mask(const T* weight, int64_t rows, int64_t columns, int64_t stride, const uint8_t* mask,
                T* out) {
  parallel_for(0, rows, rows_of_block(columns), [&](int64_t first, int64_t last) {
    for (int64_t r = first; r < last; ++r) {
      table<MaskTable<T>>().apply(weight + r * stride, mask + r * columns, columns,
                                  out + r * columns);
    }
  });
}

void pack_mask(const uint8_t* mask, int64_t count, uint8_t* bits) {
  parallel_for(0, count / 8, kBlock / 8, [&](int64_t first, int64_t last) {
    table<MaskBytesTable>().pack(mask + 8 * first, 8 * (last - first), bits + first);
  });
  if (count % 8 != 0) {
    uint8_t rest[8] = {};
    std::copy(mask + count / 8 * 8, mask + count, rest);
    table<MaskBytesTable>().pack(rest, 8, bits + count / 8);
  }
}

void unpack_mask(const uint8_t* bits, int64_t count, uint8_t* mask) {
  parallel_for(0, count / 8, kBlock / 8, [&](int64_t first, int64_t last) {
    table<MaskBytesTable>().unpack(bits + first, 8 * (last - first), mask + 8 * first);
  });
  for (int64_t i = count / 8 * 8; i < count; ++i) mask[i] = bits[i / 8] >> (7 - i % 8) & 1u;
}

int64_t bit_flips(const uint8_t* bits, const uint8_t* other, int64_t count) {
  const int64_t flips = parallel_sum(count / 8, [&](int64_t first, int64_t last) {
    return table<MaskBytesTable>().bit_flips(bits + first, other + first, last - first);
  });
  if (count % 8 == 0) return flips;
  const uint32_t counted = 0xff00u >> count % 8 & 0xffu;
  return flips + __builtin_popcount((bits[count / 8] ^ other[count / 8]) & counted);
}

#define TWOFOUR_INSTANTIATE(T)                                                              \
  template void magnitude_mask<T>(const T*, int64_t, int64_t, int64_t, int, int, uint8_t*); \
  template void transposable_mask24<T>(const T*, int64_t, int64_t, int64_t, uint8_t*);      \
  template void apply_mask<T>(const T*, int64_t, int64_t, int64_t, const uint8_t*, T*);
TWOFOUR_INSTANTIATE(float)
TWOFOUR_INSTANTIATE(bfloat16)
TWOFOUR_INSTANTIATE(float16)
#undef TWOFOUR_INSTANTIATE

}  // namespace twofour::kernels
