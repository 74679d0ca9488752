#include "twofour/checkpoint/sparse24_bitmask.h"

#include <gtest/gtest.h>

#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/topk.h>
#include <ATen/ops/zeros.h>

#include "testing.h"

namespace twofour::checkpoint {
namespace {

// The kept entries of each group of four by torch.topk, 0 or 1.
at::Tensor topk_mask(const at::Tensor& weight) {
  const at::Tensor groups = weight.abs().view({-1, 4});
  return at::zeros(groups.sizes())
      .scatter_(1, std::get<1>(groups.topk(2, 1)), 1)
      .view(weight.sizes());
}

// Random values at the kept positions; some are zero as well.
at::Tensor random24(int64_t rows, int64_t columns, at::ScalarType dtype) {
  const at::Tensor weight = at::randn({rows, columns});
  const at::Tensor some = at::randint(0, 4, {rows, columns}).gt(0);
  return weight.mul(topk_mask(weight)).mul(some).add(0.0).to(dtype);  // + 0: no -0
}

at::Tensor bits(const at::Tensor& values) { return values.contiguous().view(at::kByte); }

TEST(Sparse24Bitmask, every_2_4_weight_comes_back_bit_by_bit) {
  for (const auto dtype : {at::kFloat, at::kHalf, at::kBFloat16, at::kDouble, at::kFloat8_e4m3fn}) {
    for (const auto& [rows, columns] :
         std::vector<std::pair<int64_t, int64_t>>{{1, 4}, {3, 12}, {40, 64}, {17, 100}}) {
      const at::Tensor weight = random24(rows, columns, dtype);
      const Sparse24Bitmask stored = compress24(weight);
      EXPECT_EQ(stored.compressed.sizes(), (std::vector<int64_t>{rows, columns / 2}));
      EXPECT_EQ(stored.bitmask.sizes(), (std::vector<int64_t>{rows, (columns + 7) / 8}));
      EXPECT_EQ(stored.shape.sizes(), (std::vector<int64_t>{2, 1}));
      EXPECT_TRUE(bits(decompress24(stored)).equal(bits(weight))) << dtype << " " << columns;
      const Sparse24Bitmask again = compress24(weight, mask_of(stored));
      EXPECT_TRUE(again.bitmask.equal(stored.bitmask));
      EXPECT_TRUE(bits(again.compressed).equal(bits(stored.compressed)));
    }
  }
}

TEST(Sparse24Bitmask, zeros_are_kept_where_topk_keeps_them) {
  const at::Tensor weight = random24(64, 40, at::kFloat);
  const at::Tensor kept = topk_mask(weight);
  const Sparse24Bitmask stored = compress24(weight);
  for (int64_t row = 0; row < 64; ++row) {
    for (int64_t column = 0; column < 40; ++column) {
      const int bit = stored.bitmask[row][column / 8].item<int>() >> column % 8 & 1;
      ASSERT_EQ(bit, kept[row][column].item<int>()) << row << " " << column;
    }
  }
}

TEST(Sparse24Bitmask, a_mask_says_which_zeros_are_kept) {
  const at::Tensor weight = at::zeros({1, 8});
  weight[0][1] = 5;
  const at::Tensor mask = at::full({1}, 0b01010011, at::kByte);
  const Sparse24Bitmask stored = compress24(weight, mask);
  EXPECT_EQ(stored.bitmask.item<int>(), 0b11001010);
  EXPECT_TRUE(decompress24(stored).equal(weight));
  EXPECT_TRUE(mask_of(stored).equal(mask));
  EXPECT_THAT_ERROR(compress24(weight, at::full({1}, 0b10100011, at::kByte)), "row 0, column 0");
  EXPECT_THAT_ERROR(compress24(weight, at::full({1}, 0b01010111, at::kByte)), "row 0, column 4");
}

TEST(Sparse24Bitmask, what_does_not_fit_is_refused) {
  EXPECT_THAT_ERROR(compress24(at::ones({2, 8})), "row 0, column 0: more than two of four");
  EXPECT_THAT_ERROR(compress24(at::zeros({2, 6})), "groups of four");
  EXPECT_THAT_ERROR(compress24(at::zeros({8})), "groups of four");
  const Sparse24Bitmask good = compress24(random24(3, 12, at::kFloat));
  const auto with = [&](auto&& change) {
    Sparse24Bitmask stored = {good.compressed.clone(), good.bitmask.clone(), good.shape.clone()};
    change(stored);
    return decompress24(stored);
  };
  const auto set = [](at::Tensor& bitmask, int64_t row, int64_t column, int value) {
    bitmask[row][column] = value;
  };
  EXPECT_THAT_ERROR(with([&](auto& stored) { set(stored.bitmask, 2, 0, 0b00110001); }),
                    "row 2, column 0 of its bitmask keeps 1 of four");
  EXPECT_THAT_ERROR(with([&](auto& stored) { set(stored.bitmask, 2, 1, 0b00110011); }),
                    "row 2 of its bitmask has bits behind its end");
  EXPECT_THAT_ERROR(with([&](auto& stored) { stored.shape[1] = 16; }),
                    "its shape needs floats [3, 8]");
  EXPECT_THAT_ERROR(with([&](auto& stored) { stored.shape[1] = 13; }), "no matrix");
  EXPECT_THAT_ERROR(with([&](auto& stored) { stored.shape[0] = -3; }), "no matrix");
  EXPECT_THAT_ERROR(with([&](auto& stored) { stored.shape[0] = INT64_MAX; }), "no matrix");
  EXPECT_THAT_ERROR(with([&](auto& stored) { stored.shape = stored.shape.to(at::kInt); }),
                    "no int64");
  EXPECT_THAT_ERROR(with([&](auto& stored) { stored.compressed = stored.compressed.to(at::kInt); }),
                    "needs floats");
  EXPECT_THAT_ERROR(with([&](auto& stored) { stored.bitmask = stored.bitmask.to(at::kInt); }),
                    "needs bytes");
}

}  // namespace
}  // namespace twofour::checkpoint
