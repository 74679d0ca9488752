#include "twofour/checkpoint/sparse24_bitmask.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include <ATen/ops/empty.h>
#include <ATen/ops/topk.h>
#include <ATen/ops/zeros.h>

#include "twofour/base/error.h"
#include "twofour/base/parallel.h"

namespace twofour::checkpoint {
namespace {

constexpr int64_t kRowsAtOnce = 16;

// The kept two of four for each pattern of nonzero entries, both as bits, the first entry lowest.
using Choice = std::array<uint8_t, 16>;

Choice make_choice() {
  Choice choice{};
  for (unsigned nonzero = 0; nonzero < 16; ++nonzero) {
    if (std::popcount(nonzero) > 2) continue;
    at::Tensor magnitudes = at::zeros({1, 4}, at::kFloat);
    for (int i = 0; i < 4; ++i) {
      magnitudes.mutable_data_ptr<float>()[i] = static_cast<float>(nonzero >> i & 1);
    }
    const at::Tensor kept = std::get<1>(at::topk(magnitudes, 2, 1));
    for (int i = 0; i < 2; ++i) {
      choice[nonzero] =
          static_cast<uint8_t>(choice[nonzero] | 1 << kept.const_data_ptr<int64_t>()[i]);
    }
  }
  return choice;
}

const Choice& topk_choice() {
  static const Choice choice = make_choice();
  return choice;
}

// Entries as bits, independent of their type: all floating-point types have the sign in the top
// bit.
template <class Bits>
unsigned nonzero_of(const Bits* group) {
  unsigned pattern = 0;
  for (int i = 0; i < 4; ++i) {
    const auto magnitude = static_cast<Bits>(group[i] << 1);
    pattern |= static_cast<unsigned>(magnitude != 0) << i;
  }
  return pattern;
}

// Four bits of a mask from an entry that is a multiple of 4, the first entry lowest.
unsigned group_of_mask(const uint8_t* mask, int64_t entry) {
  const unsigned byte = mask[entry / 8];
  const unsigned four = entry % 8 == 0 ? byte >> 4 : byte & 15;
  return (four & 8) >> 3 | (four & 4) >> 1 | (four & 2) << 1 | (four & 1) << 3;
}

unsigned group_of_bitmask(const uint8_t* row, int64_t column) {
  return row[column / 8] >> column % 8 & 15;
}

template <class Fn>
void with_bits(at::ScalarType dtype, Fn&& fn) {
  switch (c10::elementSize(dtype)) {
    case 1:
      return fn(uint8_t{});
    case 2:
      return fn(uint16_t{});
    case 4:
      return fn(uint32_t{});
    default:
      return fn(uint64_t{});
  }
}

struct Sizes {
  int64_t rows, columns, mask_columns;
  explicit Sizes(at::IntArrayRef weight)
      : rows(weight[0]), columns(weight[1]), mask_columns((weight[1] + 7) / 8) {}
};

template <class Bits>
void compress_row(const Bits* weight, int64_t row, const Sizes& sizes, const uint8_t* mask,
                  Bits* compressed, uint8_t* bitmask) {
  const Choice& choice = topk_choice();
  for (int64_t column = 0; column < sizes.columns; column += 4) {
    const unsigned nonzero = nonzero_of(weight + column);
    const unsigned kept =
        mask ? group_of_mask(mask, row * sizes.columns + column) : choice[nonzero];
    if (std::popcount(kept) != 2 || (nonzero & ~kept) != 0) {
      fail("row {}, column {}: {}", row, column,
           mask ? "the mask does not keep two of four, or not all that is not zero"
                : "more than two of four are not zero");
    }
    for (int i = 0; i < 4; ++i) {
      if (kept >> i & 1) *compressed++ = weight[column + i];
    }
    bitmask[column / 8] = static_cast<uint8_t>(bitmask[column / 8] | kept << column % 8);
  }
}

template <class Bits>
void decompress_row(const Bits* compressed, const uint8_t* bitmask, int64_t row, const Sizes& sizes,
                    Bits* weight) {
  for (int64_t column = 0; column < sizes.columns; column += 4) {
    const unsigned kept = group_of_bitmask(bitmask, column);
    if (std::popcount(kept) != 2) {
      fail("row {}, column {} of its bitmask keeps {} of four, expected 2", row, column,
           std::popcount(kept));
    }
    for (int i = 0; i < 4; ++i) {
      if (kept >> i & 1) weight[column + i] = *compressed++;
    }
  }
  if (sizes.columns % 8 != 0 && bitmask[sizes.mask_columns - 1] >> 4 != 0) {
    fail("row {} of its bitmask has bits behind its end", row);
  }
}

void check(const Sparse24Bitmask& stored) {
  if (stored.shape.scalar_type() != at::kLong || stored.shape.numel() != 2) {
    fail("its shape is no int64 [2, 1]");
  }
  const at::Tensor shape = stored.shape.contiguous();
  const auto* sizes = shape.const_data_ptr<int64_t>();
  check_sizes24(stored.compressed.scalar_type(), stored.compressed.sizes().vec(),
                stored.bitmask.scalar_type(), stored.bitmask.sizes().vec(), {sizes[0], sizes[1]});
}

Sizes sizes_of(const Sparse24Bitmask& stored) {
  return Sizes({stored.compressed.size(0), 2 * stored.compressed.size(1)});
}

}  // namespace

void check_sizes24(at::ScalarType compressed_dtype, const std::vector<int64_t>& compressed,
                   at::ScalarType bitmask_dtype, const std::vector<int64_t>& bitmask,
                   const std::vector<int64_t>& weight) {
  const auto text = [](const std::vector<int64_t>& shape) {
    return fmt::format("[{}]", fmt::join(shape, ", "));
  };
  constexpr int64_t kLargest = int64_t{1} << 40;
  const bool is_matrix = weight.size() == 2 && weight[0] > 0 && weight[0] <= kLargest &&
                         weight[1] > 0 && weight[1] <= kLargest && weight[1] % 4 == 0;
  if (!is_matrix) fail("its shape {} is no matrix with groups of four", text(weight));
  const std::vector<int64_t> halves = {weight[0], weight[1] / 2};
  const std::vector<int64_t> bits = {weight[0], (weight[1] + 7) / 8};
  if (!at::isFloatingType(compressed_dtype) || compressed != halves) {
    fail("its compressed values are {} {}, its shape needs floats {}",
         c10::toString(compressed_dtype), text(compressed), text(halves));
  }
  if (bitmask_dtype != at::kByte || bitmask != bits) {
    fail("its bitmask is {} {}, its shape needs bytes {}", c10::toString(bitmask_dtype),
         text(bitmask), text(bits));
  }
}

Sparse24Bitmask compress24(const at::Tensor& weight, const at::Tensor& mask) {
  if (weight.dim() != 2 || weight.size(1) % 4 != 0 || !at::isFloatingType(weight.scalar_type())) {
    fail("it is no matrix of floats with groups of four");
  }
  const at::Tensor dense = weight.contiguous();
  const Sizes sizes(dense.sizes());
  const auto options = at::TensorOptions().dtype(dense.scalar_type());
  Sparse24Bitmask stored;
  stored.compressed = at::empty({sizes.rows, sizes.columns / 2}, options);
  stored.bitmask = at::zeros({sizes.rows, sizes.mask_columns}, at::kByte);
  stored.shape = at::empty({2, 1}, at::kLong);
  stored.shape.mutable_data_ptr<int64_t>()[0] = sizes.rows;
  stored.shape.mutable_data_ptr<int64_t>()[1] = sizes.columns;
  const uint8_t* kept = mask.defined() ? mask.const_data_ptr<uint8_t>() : nullptr;
  with_bits(dense.scalar_type(), [&]<class Bits>(Bits) {
    const auto* from = static_cast<const Bits*>(dense.const_data_ptr());
    auto* to = static_cast<Bits*>(stored.compressed.mutable_data_ptr());
    auto* bits = stored.bitmask.mutable_data_ptr<uint8_t>();
    parallel_for(0, sizes.rows, kRowsAtOnce, [&](int64_t first, int64_t last) {
      for (int64_t row = first; row < last; ++row) {
        compress_row(from + row * sizes.columns, row, sizes, kept, to + row * sizes.columns / 2,
                     bits + row * sizes.mask_columns);
      }
    });
  });
  return stored;
}

at::Tensor decompress24(const Sparse24Bitmask& stored) {
  check(stored);
  const Sizes sizes = sizes_of(stored);
  const at::Tensor values = stored.compressed.contiguous(), bitmask = stored.bitmask.contiguous();
  const at::Tensor weight =
      at::zeros({sizes.rows, sizes.columns}, at::TensorOptions().dtype(values.scalar_type()));
  const auto* bits = bitmask.const_data_ptr<uint8_t>();
  with_bits(values.scalar_type(), [&]<class Bits>(Bits) {
    const auto* from = static_cast<const Bits*>(values.const_data_ptr());
    auto* to = static_cast<Bits*>(weight.mutable_data_ptr());
    parallel_for(0, sizes.rows, kRowsAtOnce, [&](int64_t first, int64_t last) {
      for (int64_t row = first; row < last; ++row) {
        decompress_row(from + row * sizes.columns / 2, bits + row * sizes.mask_columns, row, sizes,
                       to + row * sizes.columns);
      }
    });
  });
  return weight;
}

at::Tensor mask_of(const Sparse24Bitmask& stored) {
  check(stored);
  const Sizes sizes = sizes_of(stored);
  const at::Tensor bitmask = stored.bitmask.contiguous();
  const auto* bits = bitmask.const_data_ptr<uint8_t>();
  const at::Tensor mask = at::zeros({(sizes.rows * sizes.columns + 7) / 8}, at::kByte);
  auto* to = mask.mutable_data_ptr<uint8_t>();
  for (int64_t row = 0; row < sizes.rows; ++row) {
    for (int64_t column = 0; column < sizes.columns; ++column) {
      const int64_t entry = row * sizes.columns + column;
      const unsigned kept = bits[row * sizes.mask_columns + column / 8] >> column % 8 & 1;
      to[entry / 8] = static_cast<uint8_t>(to[entry / 8] | kept << (7 - entry % 8));
    }
  }
  return mask;
}

}  // namespace twofour::checkpoint
