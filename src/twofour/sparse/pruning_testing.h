// Shared by the tests of one-shot pruning: random layers, and the published algorithms in float64.
#pragma once

#include <algorithm>
#include <functional>
#include <random>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randn.h>

#include "twofour/base/parallel.h"
#include "twofour/sparse/pruning.h"

namespace twofour::sparse {

/// A weight and the Gram matrix of correlated inputs of different sizes.
struct RandomLayer {
  at::Tensor weight, gram;

  RandomLayer(int64_t rows, int64_t columns, int64_t tokens) {
    const at::Tensor mix = at::randn({columns, columns}).mul_(0.5 / std::sqrt(columns));
    const at::Tensor x = at::randn({tokens, columns}).mm(mix.add_(at::eye(columns)));
    x.mul_(at::rand({columns}).mul_(3).add_(0.1));
    weight = at::randn({rows, columns});
    gram = x.t().mm(x);
  }
};

constexpr int64_t kGroupSizes[] = {2, 3, 4, 5, 8};

/// A seeded test with layers of random shapes.
class PruningTest : public ::testing::Test {
 protected:
  PruningTest() { at::manual_seed(17); }
  void TearDown() override { set_thread_count(threads_); }

  int64_t number(int64_t least, int64_t most) {
    return std::uniform_int_distribution<int64_t>(least, most)(random_);
  }

  Pattern pattern() {
    const int64_t group = kGroupSizes[number(0, std::size(kGroupSizes) - 1)];
    return {number(1, group - 1), group, 0};
  }

  RandomLayer layer(const Pattern& pattern, int64_t most_columns = 320) {
    const int64_t unit = pattern.is_structured() ? pattern.group : 1;
    const int64_t columns = unit * number(1, most_columns / unit);
    const int64_t rows = number(1, 150);
    shape_ = fmt::format("{}, {} x {}", pattern.text(), rows, columns);
    return RandomLayer(rows, columns, number(1, 2) * columns);
  }

  /// The pattern and sizes of the last layer, for messages.
  std::string shape_;

  /// Expects equal tensors of `fn` for 1, 2 and 3 threads.
  void expect_same_bits(const std::function<std::vector<at::Tensor>()>& fn) {
    set_thread_count(1);
    const auto expected = fn();
    for (const int threads : {2, 3}) {
      set_thread_count(threads);
      const auto is = fn();
      for (size_t i = 0; i < expected.size(); ++i) {
        EXPECT_TRUE(is[i].equal(expected[i])) << shape_ << ", threads " << threads << ", " << i;
      }
    }
  }

 private:
  std::mt19937 random_{19};
  int threads_ = thread_count();
};

/// The layer's error with `pruned` in place of `weight`, in float64.
inline double layer_error_of(const at::Tensor& weight, const at::Tensor& pruned,
                             const at::Tensor& gram) {
  const at::Tensor d = weight.to(at::kDouble).sub(pruned.to(at::kDouble));
  return d.mm(gram.to(at::kDouble)).mul(d).sum().item<double>();
}

}  // namespace twofour::sparse
