// Compares every implementation of packing with the definition of the format, bit for bit.
#include "twofour/kernels/packed24/packed24.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "twofour/base/parallel.h"
#include "twofour/kernels/dispatch.h"
#include "twofour/kernels/kernels_testing.h"

#include "testing.h"

namespace twofour::kernels {
namespace {

// A contiguous matrix and its mask, which keeps at most two entries of a group. With `masked`,
// other entries may have any value and kept ones may be zero; without it, exactly the nonzero
// entries are kept.
template <class T>
struct Sparse {
  int64_t rows, columns;
  std::vector<T> entries;
  std::vector<uint8_t> kept;
};

template <class T>
T random_value(std::mt19937& random, bool zeros) {
  std::normal_distribution<float> normal;
  constexpr float kSpecial[] = {std::numeric_limits<float>::quiet_NaN(),
                                -std::numeric_limits<float>::infinity(), 1e-6f, 0.0f, -0.0f};
  T value;
  store(random() % 8 == 0 ? kSpecial[random() % (zeros ? 5 : 3)] : normal(random), value);
  return value;
}

template <class T>
Sparse<T> random_packable(int64_t rows, int64_t columns, bool masked, std::mt19937& random) {
  const auto count = static_cast<size_t>(rows * columns);
  Sparse<T> made{rows, columns, std::vector<T>(count), std::vector<uint8_t>(count, 0)};
  for (size_t group = 0; group < count; group += 4) {
    size_t order[4] = {0, 1, 2, 3};
    std::shuffle(order, order + 4, random);
    const size_t keeps = random() % 4 == 0 ? random() % 2 : 2;
    for (size_t i = 0; i < 4; ++i) {
      const size_t at = group + order[i];
      if (i < keeps) made.kept[at] = static_cast<uint8_t>(1 + random() % 255);
      if (i < keeps || masked) {
        made.entries[at] = random_value<T>(random, masked);
      } else {
        store(random() % 2 ? 0.0f : -0.0f, made.entries[at]);
      }
    }
  }
  return made;
}

// The matrix in a caller's form: gaps between rows, at an odd address.
template <class T>
struct Laid {
  int64_t stride;
  std::vector<T> entries;
  std::vector<uint8_t> kept;  // contiguous
  Laid(const Sparse<T>& a, int64_t gap)
      : stride(a.columns + gap),
        entries(static_cast<size_t>(a.rows * stride + 1)),
        kept(a.kept.size() + 1) {
    for (int64_t r = 0; r < a.rows; ++r) {
      for (int64_t c = 0; c < a.columns; ++c) {
        const auto from = static_cast<size_t>(r * a.columns + c);
        entries[static_cast<size_t>(r * stride + c) + 1] = a.entries[from];
        kept[from + 1] = a.kept[from];
      }
    }
  }
  const T* data() const { return entries.data() + 1; }
  const uint8_t* mask() const { return kept.data() + 1; }
};

template <class T>
void expect_packed(const Packed24<T>& packed, const Sparse<T>& a) {
  ASSERT_EQ(packed.rows, a.rows);
  ASSERT_EQ(packed.columns, a.columns);
  ASSERT_EQ(packed.values.size(), a.entries.size() / 2);
  ASSERT_EQ(packed.positions.size(), static_cast<size_t>(a.rows * packed.position_bytes()));
  for (int64_t r = 0; r < a.rows; ++r) {
    for (int64_t g = 0; g < packed.groups(); ++g) {
      const auto group = static_cast<size_t>(r * a.columns + 4 * g);
      uint32_t set = 0;
      for (size_t i = 0; i < 4; ++i) set |= uint32_t{a.kept[group + i] != 0} << i;
      const uint32_t position = packed.position(r, g);
      ASSERT_EQ(position, position_of(set)) << "row " << r << " group " << g;
      for (const uint32_t i : {0, 1}) {
        const uint32_t place = position >> 2 * i & 3;
        const T wanted = set >> place & 1 ? a.entries[group + place] : T{};
        const T& stored = packed.values[group / 2 + i];
        ASSERT_EQ(std::memcmp(&stored, &wanted, sizeof(T)), 0)
            << "row " << r << " group " << g << " value " << i;
      }
    }
    if (packed.groups() % 2 == 1) {
      const int64_t last = (r + 1) * packed.position_bytes() - 1;
      ASSERT_EQ(packed.positions[static_cast<size_t>(last)] >> 4, 0) << "row " << r;
    }
  }
}

template <class T>
class Packing : public KernelTest {};

using Types = ::testing::Types<float, bfloat16, float16>;
TYPED_TEST_SUITE(Packing, Types);

struct PackedShape {
  int64_t rows, columns;
};

std::vector<PackedShape> shapes(std::mt19937& random) {
  std::vector<PackedShape> all = {{1, 4},    {3, 8},     {16, 64}, {33, 516},
                                  {7, 1092}, {130, 512}, {0, 8},   {2, 0}};
  for (int i = 0; i < 20; ++i) {
    all.push_back(
        {static_cast<int64_t>(1 + random() % 100), static_cast<int64_t>(4 + 4 * (random() % 60))});
  }
  return all;
}

template <class Check>
void for_every_set_shape_and_thread_count(Check&& check) {
  std::mt19937 random(3);
  for (const InstructionSet set : instruction_sets()) {
    set_instruction_set(set);
    for (const PackedShape& shape : shapes(random)) {
      const int threads = 1 + static_cast<int>(random() % 2);
      set_thread_count(threads);
      SCOPED_TRACE(fmt::format("{} {} x {} threads {}", name_of(instruction_set()), shape.rows,
                               shape.columns, threads));
      check(shape, random);
    }
  }
}

TYPED_TEST(Packing, keeps_what_is_not_zero_for_every_set_and_shape) {
  for_every_set_shape_and_thread_count([](const PackedShape& shape, std::mt19937& random) {
    const auto a = random_packable<TypeParam>(shape.rows, shape.columns, false, random);
    const Laid<TypeParam> w(a, random() % 5);
    expect_packed(pack24(w.data(), a.rows, a.columns, w.stride), a);
  });
}

TYPED_TEST(Packing, keeps_what_the_mask_keeps_for_every_set_and_shape) {
  for_every_set_shape_and_thread_count([](const PackedShape& shape, std::mt19937& random) {
    const auto a = random_packable<TypeParam>(shape.rows, shape.columns, true, random);
    const Laid<TypeParam> w(a, random() % 5);
    expect_packed(pack24(w.data(), a.rows, a.columns, w.stride, w.mask()), a);
  });
}

TYPED_TEST(Packing, unpacks_to_the_matrix_it_was_made_of) {
  using T = TypeParam;
  std::mt19937 random(5);
  for (const int64_t columns : {4, 12, 64, 100}) {
    const auto a = random_packable<T>(37, columns, true, random);
    const int64_t stride = columns + 3;
    std::vector<T> back(static_cast<size_t>(37 * stride)), untouched;
    for (T& value : back) store(7.0f, value);
    untouched = back;
    unpack24(pack24(a.entries.data(), 37, columns, columns, a.kept.data()), back.data(), stride);
    for (int64_t r = 0; r < 37; ++r) {
      for (int64_t c = 0; c < stride; ++c) {
        const auto from = static_cast<size_t>(r * columns + c),
                   at = static_cast<size_t>(r * stride + c);
        const T wanted = c >= columns ? untouched[at] : a.kept[from] ? a.entries[from] : T{};
        ASSERT_EQ(std::memcmp(&back[at], &wanted, sizeof(T)), 0) << "row " << r << " column " << c;
      }
    }
  }
}

TYPED_TEST(Packing, names_the_first_violation_for_every_set_and_thread_count) {
  using T = TypeParam;
  const int64_t rows = 70, columns = 600;
  std::mt19937 random(6);
  auto a = random_packable<T>(rows, columns, false, random);
  const auto spoil = [&](int64_t r, int64_t c) {
    for (int64_t i = 0; i < 4; ++i)
      store(1.0f, a.entries[static_cast<size_t>(r * columns + c + i)]);
    for (int64_t i = 0; i < 3; ++i) a.kept[static_cast<size_t>(r * columns + c + i)] = 1;
  };
  spoil(33, 596);
  spoil(33, 520);
  spoil(69, 0);
  const Laid<T> w(a, 1);
  const char* message = "row 33 keeps more than two of the four entries from column 520 on";
  for (const InstructionSet set : instruction_sets()) {
    set_instruction_set(set);
    for (const int threads : {1, 2}) {
      set_thread_count(threads);
      EXPECT_THAT_ERROR(pack24(w.data(), rows, columns, w.stride), message);
      EXPECT_THAT_ERROR(check24(w.data(), rows, columns, w.stride), message);
      EXPECT_THAT_ERROR(pack24(w.data(), rows, columns, w.stride, w.mask()), message);
    }
  }
  EXPECT_THAT_ERROR(pack24(w.data(), rows, 598, w.stride), "598 columns are not a multiple of 4");
}

// For any number of nonzero entries and any position of the group.
TYPED_TEST(Packing, is_refused_by_the_check_where_more_than_two_are_not_zero) {
  using T = TypeParam;
  const float values[] = {1.0f, -1.0f, 1e-40f, -3e38f, std::nanf("")};
  for_every_set_shape_and_thread_count([&](const PackedShape& shape, std::mt19937& random) {
    if (shape.rows * shape.columns == 0) return;
    auto a = random_packable<T>(shape.rows, shape.columns, false, random);
    const Laid<T> sparse(a, 1);
    EXPECT_NO_THROW(check24(sparse.data(), shape.rows, shape.columns, sparse.stride));
    const auto groups = static_cast<size_t>(shape.rows * shape.columns / 4);
    const size_t group = random() % groups * 4;
    const uint32_t kept = random() % 16;
    for (size_t i = 0; i < 4; ++i) {
      store(kept >> i & 1 ? values[random() % 5] : -0.0f, a.entries[group + i]);
    }
    int nonzero = 0;
    for (size_t i = 0; i < 4; ++i) nonzero += to_float(a.entries[group + i]) != 0.0f;
    const Laid<T> w(a, 1);
    if (nonzero > 2) {
      EXPECT_ANY_THROW(check24(w.data(), shape.rows, shape.columns, w.stride)) << kept;
    } else {
      EXPECT_NO_THROW(check24(w.data(), shape.rows, shape.columns, w.stride)) << kept;
    }
  });
}

TYPED_TEST(Packing, into_a_packed_matrix_uses_its_memory_again) {
  using T = TypeParam;
  std::mt19937 random(7);
  const auto large = random_packable<T>(40, 128, false, random);
  auto packed = pack24(large.entries.data(), 40, 128, 128);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(packed.values.data()) % 64, 0u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(packed.positions.data()) % 64, 0u);
  const T* values = packed.values.data();
  const auto small = random_packable<T>(20, 100, false, random);
  pack24_into(small.entries.data(), 20, 100, 100, nullptr, packed);
  EXPECT_EQ(packed.values.data(), values);
  expect_packed(packed, small);
  const auto other = random_packable<T>(64, 64, false, random);
  pack24_into(other.entries.data(), 64, 64, 64, nullptr, packed);
  EXPECT_EQ(packed.values.data(), values);
  expect_packed(packed, other);
  const auto copy = packed;
  EXPECT_NE(copy.values.data(), packed.values.data());
  expect_packed(copy, other);
}

TEST(Packed24, takes_nine_sixteenths_of_the_dense_bytes_in_bfloat16) {
  const std::vector<bfloat16> weight(32 * 64, bfloat16{0});
  const auto packed = pack24(weight.data(), 32, 64, 64);
  EXPECT_EQ((packed.values.size() * 2 + packed.positions.size()) * 16, weight.size() * 2 * 9);
}

TEST(Packed24, positions_are_always_two_different_ones_in_order) {
  for (uint32_t kept = 0; kept < 16; ++kept) {
    const uint32_t position = position_of(kept);
    if (__builtin_popcount(kept) > 2) {
      EXPECT_EQ(position, 0u);
      continue;
    }
    EXPECT_LT(position & 3, position >> 2);
    const uint32_t covered = 1u << (position & 3) | 1u << (position >> 2);
    EXPECT_EQ(kept & ~covered, 0u) << kept;
  }
}

}  // namespace
}  // namespace twofour::kernels
