#include "twofour/sparse/prepared_weights.h"

#include <gtest/gtest.h>

#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

namespace twofour::sparse {
namespace {

// The sum of all that `weight` is now kept as.
double kept_sum(const at::Tensor& weight, bool in_training = false) {
  const auto sum = [&](Weight24& forms) { return forms.packed(weight).values.sum(); };
  return with_prepared_weight(weight, in_training, sum).item<double>();
}

// Two of every four entries are 1.
at::Tensor ones24(int64_t rows, int64_t columns) {
  at::Tensor weight = at::zeros({rows, columns});
  weight.view({-1, 4}).slice(1, 1, 3).fill_(1);
  return weight;
}

const void* forms_of(const at::Tensor& weight) {
  const void* at = nullptr;
  with_prepared_weight(weight, false, [&](Weight24& forms) {
    at = forms.packed(weight).values.const_data_ptr();
    return at::Tensor();
  });
  return at;
}

TEST(PreparedWeights, are_kept_while_the_weight_stays_as_it_is) {
  const at::Tensor weight = ones24(8, 16), other = ones24(8, 16);
  int made = 0;
  for (int call = 0; call < 3; ++call) {
    with_prepared_weight(weight, false, [&](Weight24& forms) {
      if (call == 0) forms.check(weight);
      // A form that is current is not made again from something else.
      made += forms.packed(call == 0 ? weight : at::zeros({8, 16})).values.sum().item<int>();
      return at::Tensor();
    });
  }
  EXPECT_EQ(made, 3 * 64);
  EXPECT_EQ(forms_of(weight), forms_of(weight));
  EXPECT_NE(forms_of(weight), forms_of(other));
}

TEST(PreparedWeights, follow_every_in_place_change) {
  at::Tensor weight = ones24(80, 64);
  EXPECT_EQ(kept_sum(weight), 80 * 32);
  weight.index_put_({at::ones({1}, at::kLong), at::ones({1}, at::kLong)}, at::full({1}, 5.0f));
  EXPECT_EQ(kept_sum(weight), 80 * 32 + 4);
  weight.slice(0, 0, 40).mul_(2);  // through a view
  EXPECT_EQ(kept_sum(weight), 2 * (40 * 32 + 4) + 40 * 32);
}

TEST(PreparedWeights, follow_a_change_of_all_entries_that_is_not_counted) {
  at::Tensor weight = ones24(80, 64);
  EXPECT_EQ(kept_sum(weight), 80 * 32);
  const int64_t version = weight._version();
  weight.variable_data().mul_(3);
  EXPECT_EQ(weight._version(), version);
  EXPECT_EQ(kept_sum(weight), 3 * 80 * 32);
}

TEST(PreparedWeights, of_other_strides_or_parts_are_others) {
  const at::Tensor weight = ones24(16, 16);
  EXPECT_EQ(kept_sum(weight), 128);
  EXPECT_EQ(kept_sum(weight.slice(0, 4, 8)), 32);
  EXPECT_EQ(kept_sum(weight.slice(1, 0, 4)), 32);
  EXPECT_EQ(kept_sum(weight, /*in_training=*/true), 128);
}

TEST(PreparedWeights, go_with_the_tensor) {
  const int64_t before = prepared_weight_count();
  {
    const at::Tensor weight = ones24(8, 8);
    kept_sum(weight);
    EXPECT_EQ(prepared_weight_count(), before + 1);
  }
  EXPECT_EQ(prepared_weight_count(), before);
}

TEST(PreparedWeights, are_at_most_512) {
  std::vector<at::Tensor> weights;
  for (int i = 0; i < 530; ++i) {
    weights.push_back(ones24(1, 4));
    kept_sum(weights.back());
  }
  EXPECT_LE(prepared_weight_count(), 512);
  EXPECT_EQ(kept_sum(weights.front()), 2);
}

TEST(PreparedWeights, that_are_not_2_4_are_named) {
  at::Tensor weight = ones24(8, 16);
  const auto check = [&](Weight24& forms) {
    forms.check(weight);
    return at::Tensor();
  };
  with_prepared_weight(weight, false, check);
  weight.fill_(1);
  EXPECT_ANY_THROW(with_prepared_weight(weight, false, check));
}

}  // namespace
}  // namespace twofour::sparse
