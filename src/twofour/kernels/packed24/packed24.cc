#include "twofour/kernels/packed24/packed24.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "twofour/base/error.h"
#include "twofour/base/parallel.h"
#include "twofour/kernels/dispatch.h"
#include "twofour/kernels/packed24/packed24_loops.h"

namespace twofour::kernels {
namespace {

constexpr int64_t kEntriesAtATime = 1 << 14;  // fewer do not pay for a second thread

template <class T>
struct WordOf {
  using type = uint16_t;
};
template <>
struct WordOf<float> {
  using type = uint32_t;
};
template <class T>
using Word = typename WordOf<T>::type;

template <class Word>
const PackLoops<Word>& pack_loops() {
  if constexpr (kIsX86) {
    if (usable().avx512_vbmi2) return pack_vbmi2<Word>();
    if (usable().avx512) return pack_avx512<Word>();
    if (usable().avx2) return pack_avx2<Word>();
  }
  return pack_reference<Word>();
}

void check_columns(int64_t columns) {
  if (columns % 4 != 0) fail("{} columns are not a multiple of 4, as 2:4 needs", columns);
}

// kept(r, c): whether the packed matrix keeps an entry. Some group keeps more than two.
template <class Kept>
[[noreturn]] void fail_at_first_violation(int64_t rows, int64_t columns, Kept&& kept) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; c += 4) {
      int count = 0;
      for (int64_t i = 0; i < 4; ++i) count += kept(r, c + i);
      if (count <= 2) continue;
      fail(
          "the matrix is not 2:4 sparse: row {} keeps more than two of the four entries from "
          "column {} on",
          r, c);
    }
  }
  fail("the matrix changed while it was packed");
}

template <class T>
bool keeps(const T* weight, const uint8_t* mask, int64_t at, int64_t mask_at) {
  if (mask) return mask[mask_at] != 0;
  Word<T> bits;
  std::memcpy(&bits, weight + at, sizeof bits);
  return static_cast<Word<T>>(bits << 1) != 0;
}

template <class T>
void resize(int64_t rows, int64_t columns, Packed24<T>& packed) {
  check_columns(columns);
  packed.rows = rows;
  packed.columns = columns;
  packed.values.resize(static_cast<size_t>(rows * (columns / 2)));
  packed.positions.resize(static_cast<size_t>(rows * packed.position_bytes()));
}

}  // namespace

uint32_t position_of(uint32_t kept) { return kPackTables.position[kept & 15]; }

template <class T>
void pack24_into(const T* weight, int64_t rows, int64_t columns, int64_t stride,
                 const uint8_t* mask, T* values, uint8_t* positions) {
  check_columns(columns);
  if (columns == 0) return;
  using Bits = Word<T>;
  const PackLoops<Bits>& loops = pack_loops<Bits>();
  const int64_t groups = columns / 4, bytes = (columns + 7) / 8;
  std::atomic<bool> ok = true;
  parallel_for(
      0, rows, std::max<int64_t>(1, kEntriesAtATime / columns), [&](int64_t first, int64_t last) {
        bool mine = true;
        for (int64_t r = first; r < last; ++r) {
          mine &=
              loops.row(reinterpret_cast<const Bits*>(weight + r * stride),
                        mask ? mask + r * columns : nullptr, groups,
                        reinterpret_cast<Bits*>(values + r * (columns / 2)), positions + r * bytes);
        }
        if (!mine) ok = false;
      });
  if (ok) return;
  fail_at_first_violation(rows, columns, [&](int64_t r, int64_t c) {
    return keeps(weight, mask, r * stride + c, r * columns + c);
  });
}

template <class T>
void check24(const T* weight, int64_t rows, int64_t columns, int64_t stride) {
  check_columns(columns);
  if (columns == 0) return;
  const auto check = pack_loops<Word<T>>().check;
  std::atomic<bool> ok = true;
  parallel_for(
      0, rows, std::max<int64_t>(1, kEntriesAtATime / columns), [&](int64_t first, int64_t last) {
        bool mine = true;
        for (int64_t r = first; r < last; ++r) {
          mine &= check(reinterpret_cast<const Word<T>*>(weight + r * stride), columns / 4);
        }
        if (!mine) ok = false;
      });
  if (ok) return;
  fail_at_first_violation(rows, columns, [&](int64_t r, int64_t c) {
    return keeps<T>(weight, nullptr, r * stride + c, 0);
  });
}

template <class T>
void pack24_into(const T* weight, int64_t rows, int64_t columns, int64_t stride,
                 const uint8_t* mask, Packed24<T>& packed) {
  resize(rows, columns, packed);
  pack24_into(weight, rows, columns, stride, mask, packed.values.data(), packed.positions.data());
}

template <class T>
Packed24<T> pack24(const T* weight, int64_t rows, int64_t columns, int64_t stride,
                   const uint8_t* mask) {
  Packed24<T> packed;
  pack24_into(weight, rows, columns, stride, mask, packed);
  return packed;
}

template <class T>
void unpack24(const Packed24View<T>& packed, T* weight, int64_t stride) {
  if (packed.columns == 0) return;
  const int64_t grain = std::max<int64_t>(1, kEntriesAtATime / packed.columns);
  parallel_for(0, packed.rows, grain, [&](int64_t first, int64_t last) {
    for (int64_t r = first; r < last; ++r) {
      const T* values = packed.row_values(r);
      const uint8_t* positions = packed.row_positions(r);
      for (int64_t g = 0; g < packed.groups(); ++g) {
        const uint32_t position = positions[g / 2] >> (g % 2 * 4) & 15u;
        T* group = weight + r * stride + 4 * g;
        for (int i = 0; i < 4; ++i) group[i] = T{};
        group[position & 3] = values[2 * g];
        group[position >> 2] = values[2 * g + 1];
      }
    }
  });
}

#define TWOFOUR_INSTANTIATE(T)                                                                     \
  template Packed24<T> pack24<T>(const T*, int64_t, int64_t, int64_t, const uint8_t*);             \
  template void pack24_into<T>(const T*, int64_t, int64_t, int64_t, const uint8_t*, Packed24<T>&); \
  template void pack24_into<T>(const T*, int64_t, int64_t, int64_t, const uint8_t*, T*, uint8_t*); \
  template void check24<T>(const T*, int64_t, int64_t, int64_t);                                   \
  template void unpack24<T>(const Packed24View<T>&, T*, int64_t);
TWOFOUR_INSTANTIATE(float)
TWOFOUR_INSTANTIATE(bfloat16)
TWOFOUR_INSTANTIATE(float16)
#undef TWOFOUR_INSTANTIATE

}  // namespace twofour::kernels
