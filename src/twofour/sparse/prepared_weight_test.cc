#include "twofour/sparse/prepared_weight.h"

#include <atomic>
#include <thread>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ATen/ops/full.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>

#include "twofour/base/parallel.h"
#include "twofour/tensor/tensor_testing.h"

namespace twofour::sparse {
namespace {

// Two of every four entries are normal numbers.
at::Tensor normal24(int64_t rows, int64_t columns) {
  at::Tensor weight = at::randn({rows, columns});
  weight.view({-1, 4}).slice(1, 0, 4, 2).zero_();
  return weight;
}

// The largest error against a dense product with `weight`.
double error_of(const PreparedWeight& prepared, const at::Tensor& weight, int64_t tokens = 80) {
  const at::Tensor x = at::randn({tokens, weight.size(1)}, weight.options());
  return tensor::relative_difference(prepared.multiply(x, {}), at::mm(x, weight.t()));
}

TEST(PreparedWeight, holds_the_values_that_the_weight_had) {
  const at::Tensor weight = normal24(48, 64), before = weight.clone();
  PreparedWeight prepared(weight);
  weight.mul_(3);
  EXPECT_LT(error_of(prepared, before), 1e-5);
  weight.variable_data().slice(1, 4).mul_(3);
  for (const int64_t tokens : {1, 7, 80}) EXPECT_LT(error_of(prepared, before, tokens), 1e-5);
  EXPECT_TRUE(prepared.dense().equal(before));
}

TEST(PreparedWeight, follows_update_to_other_values_shapes_and_dtypes) {
  PreparedWeight prepared(normal24(48, 64));
  for (const at::Tensor& weight :
       {normal24(48, 64), normal24(20, 32), normal24(64, 48).to(at::kBFloat16)}) {
    prepared.update(weight);
    const double tolerance = weight.scalar_type() == at::kFloat ? 1e-5 : 2e-2;
    for (const int64_t tokens : {1, 80}) EXPECT_LT(error_of(prepared, weight, tokens), tolerance);
  }
}

TEST(PreparedWeight, makes_a_form_once) {
  const at::Tensor weight = normal24(48, 64);
  PreparedWeight prepared(weight);
  EXPECT_EQ(prepared.count(), 0);
  for (int call = 0; call < 3; ++call) {
    error_of(prepared, weight);
    EXPECT_EQ(prepared.count(), 1);
  }
  prepared.update(weight);
  EXPECT_EQ(prepared.count(), 0);
}

TEST(PreparedWeight, that_is_not_2_4_is_refused_and_changes_nothing) {
  const at::Tensor weight = normal24(8, 16), full = weight.clone();
  full.select(0, 3).slice(0, 8, 12).fill_(1);
  EXPECT_THAT_ERROR(PreparedWeight{full},
                    "row 3 keeps more than two of the four entries from column 8");
  PreparedWeight prepared(weight);
  EXPECT_ANY_THROW(prepared.update(full));
  EXPECT_LT(error_of(prepared, weight), 1e-5);
  EXPECT_THAT_ERROR(PreparedWeight{weight.view({2, 4, 16})}, "matrix");
}

TEST(PreparedWeight, is_one_weight_or_the_other_while_a_thread_updates_it) {
  const at::Tensor one = normal24(32, 64), two = normal24(32, 64), x = at::randn({80, 64});
  PreparedWeight prepared(one);
  const at::Tensor with_one = prepared.multiply(x, {});
  const at::Tensor with_two = PreparedWeight(two).multiply(x, {});
  std::atomic<bool> stopped = false;
  std::thread updates([&] {
    for (int i = 0; !stopped; ++i) prepared.update(i % 2 ? one : two);
  });
  const auto multiply = [&] {
    for (int i = 0; i < 200; ++i) {
      const at::Tensor y = prepared.multiply(x, {});
      EXPECT_TRUE(y.equal(with_one) || y.equal(with_two));
    }
  };
  std::thread other(multiply);
  multiply();
  other.join();
  stopped = true;
  updates.join();
}

TEST(PreparedWeight, can_be_used_in_a_child_whose_parent_multiplies_with_it) {
  const at::Tensor weight = normal24(512, 512), x = at::randn({256, 512});
  const PreparedWeight prepared(weight);
  std::atomic<bool> began = false, stopped = false;
  std::thread busy([&] {
    while (!stopped) prepared.multiply(x, {}), began = true;
  });
  while (!began) std::this_thread::yield();
  for (int i = 0; i < 10; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);  // ends a child that hangs
      set_thread_count(1);
      prepared.multiply(x, {});
      _exit(0);
    }
    int status = 1;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  stopped = true;
  busy.join();
}

TEST(Weight24, a_copy_shares_what_is_there_and_nothing_that_comes) {
  const at::Tensor weight = normal24(32, 64), other = normal24(32, 64);
  Weight24 one(Along::kRows);
  const auto* panel = &one.panel(weight);
  const at::Tensor values = one.packed(weight).values;
  const at::Tensor before = values.clone();
  Weight24 two = one;
  EXPECT_EQ(&two.panel(other), panel);
  EXPECT_EQ(two.packed(other).values.const_data_ptr(), values.const_data_ptr());
  two.changed();
  EXPECT_NE(&two.panel(other), panel);
  EXPECT_FALSE(two.packed(other).values.equal(before));
  EXPECT_TRUE(one.packed(other).values.equal(before));
}

}  // namespace
}  // namespace twofour::sparse
