#include "twofour/prune/permute.h"

#include <algorithm>
#include <numeric>
#include <random>

#include <gtest/gtest.h>

#include <ATen/ops/allclose.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/randperm.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "twofour/base/parallel.h"
#include "twofour/prune/assignment.h"
#include "twofour/tensor/gram.h"

#include "testing.h"

namespace twofour::prune {
namespace {

const sparse::Pattern kPatterns[] = {{2, 4}, {1, 4}, {4, 8}, {3, 4}, {7, 8}, {1, 2}};

class Permutations : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto seed = std::random_device()();
    printf("seed %u\n", seed);
    at::manual_seed(seed);
    random_.seed(seed);
  }
  int64_t between(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random_);
  }
  std::mt19937 random_;
  const at::NoGradGuard no_gradients_;
};

TEST_F(Permutations, the_assignment_is_the_best_of_all) {
  for (int trial = 0; trial < 50; ++trial) {
    const int64_t n = between(1, 6);
    const at::Tensor profit = at::randn({n, n}).mul_(10).round_();
    const auto value = [&](const std::vector<int64_t>& columns) {
      double sum = 0;
      for (int64_t i = 0; i < n; ++i) {
        sum += profit[i][columns[static_cast<size_t>(i)]].item<double>();
      }
      return sum;
    };
    const std::vector<int64_t> found =
        best_assignment({profit.const_data_ptr<float>(), static_cast<size_t>(n * n)}, n);
    std::vector<int64_t> columns(static_cast<size_t>(n));
    std::iota(columns.begin(), columns.end(), int64_t{0});
    double best = value(columns);
    do best = std::max(best, value(columns));
    while (std::next_permutation(columns.begin(), columns.end()));
    std::vector<int64_t> sorted = found;
    std::sort(sorted.begin(), sorted.end());
    EXPECT_EQ(sorted, columns) << "not a permutation";
    EXPECT_EQ(value(found), best) << n;
  }
}

TEST_F(Permutations, the_kept_score_is_the_stated_one_and_never_falls) {
  for (const sparse::Pattern& pattern : kPatterns) {
    const int64_t groups = between(1, 40), rows = between(1, 30);
    const int64_t channels = groups * pattern.group;
    // Channels of different sizes, side by side by size: the worst order.
    const at::Tensor scores = at::rand({rows, channels}).mul_(at::arange(1, channels + 1));
    const Permutation found = find_permutation(scores, pattern);
    EXPECT_TRUE(std::get<0>(found.order.sort()).equal(at::arange(channels, at::kLong)));
    EXPECT_DOUBLE_EQ(found.kept_before, kept_score(scores, pattern));
    EXPECT_DOUBLE_EQ(found.kept_after, kept_score(scores.index_select(1, found.order), pattern));
    EXPECT_GE(found.kept_after, found.kept_before);
    EXPECT_TRUE(found.improves() || groups <= 4) << pattern.text() << " " << groups;
  }
}

TEST_F(Permutations, the_kept_score_is_that_of_the_mask) {
  const at::Tensor scores = at::rand({between(1, 50), 64});
  for (const sparse::Pattern& pattern : kPatterns) {
    const at::Tensor mask = sparse::mask_of_scores(scores, pattern, sparse::Share::kRow);
    const double expected = scores.mul(mask).sum(at::kDouble).item<double>();
    EXPECT_NEAR(kept_score(scores, pattern), expected, 1e-9 * expected);
  }
}

TEST_F(Permutations, channels_that_fit_together_find_each_other_and_stay_together) {
  // Half of the channels are large in the upper rows and half in the lower ones. A group of two of
  // each keeps all that is large; the present groups have four of a kind.
  const int64_t groups = 2 * between(80, 150), rows = 16;
  at::Tensor scores = at::rand({rows, groups * 4}).mul_(0.1);
  scores.narrow(0, 0, rows / 2).narrow(1, 0, groups * 2).add_(1);
  scores.narrow(0, rows / 2, rows / 2).narrow(1, groups * 2, groups * 2).add_(1);
  const Permutation found = find_permutation(scores, {2, 4});
  const double large = scores.masked_select(scores.gt(0.5)).sum(at::kDouble).item<double>();
  EXPECT_LT(found.kept_before, 0.6 * large);
  EXPECT_GT(found.kept_after, 0.97 * large);
  // Channels that are only dealt again keep less than these.
  const Permutation again = find_permutation(scores.index_select(1, found.order), {2, 4}, 0);
  EXPECT_FALSE(again.improves());
  EXPECT_EQ(again.kept_after, again.kept_before);
  EXPECT_TRUE(again.order.equal(at::arange(groups * 4, at::kLong)));
}

TEST_F(Permutations, an_assignment_adds_to_what_sorting_gives) {
  const at::Tensor scores = at::rand({64, 256}).mul_(at::rand({256}));
  EXPECT_GT(find_permutation(scores, {2, 4}).kept_after,
            1.01 * find_permutation(scores, {2, 4}, 0).kept_after);
}

TEST_F(Permutations, a_large_layer_is_judged_by_a_part_of_its_rows_and_accepted_by_all) {
  const at::Tensor scores = at::rand({80000, 256}).mul_(at::rand({256}));
  const Permutation found = find_permutation(scores, {2, 4}, 1);
  EXPECT_DOUBLE_EQ(found.kept_before, kept_score(scores, {2, 4}));
  EXPECT_DOUBLE_EQ(found.kept_after, kept_score(scores.index_select(1, found.order), {2, 4}));
  EXPECT_GT(found.kept_after, 1.01 * found.kept_before);
}

TEST_F(Permutations, the_order_does_not_depend_on_the_number_of_threads) {
  const at::Tensor scores = at::rand({40, 4 * 300}).mul_(at::rand({4 * 300}));
  const int threads = thread_count();
  std::vector<at::Tensor> orders;
  for (const int count : {1, 2, 3}) {
    set_thread_count(count);
    orders.push_back(find_permutation(scores, {2, 4}).order);
  }
  set_thread_count(threads);
  EXPECT_TRUE(orders[0].equal(orders[1]));
  EXPECT_TRUE(orders[0].equal(orders[2]));
}

TEST_F(Permutations, what_cannot_be_permuted_is_named) {
  const at::Tensor scores = at::rand({3, 12});
  EXPECT_THAT_ERROR(find_permutation(scores, {4, 8}), "12 channels cannot be permuted for 4:8");
  EXPECT_THAT_ERROR(find_permutation(scores, {0, 0, 0.5}), "only permuted for N:M");
  EXPECT_THAT_ERROR(find_permutation(scores.div(0), {2, 4}), "not finite");
}

model::ModelConfig llama_with_shared_heads() {
  model::LlamaConfig config;
  config.vocabulary = 97;
  config.context = 64;
  config.width = 64;
  config.layers = 2;
  config.heads = 4;
  config.key_value_heads = 2;
  config.head_width = 24;
  config.feed_forward = 96;
  return config;
}

at::Tensor magnitudes(const std::string&, const at::Tensor& weight) { return weight.abs(); }

TEST_F(Permutations, a_permuted_block_computes_the_same_and_its_masks_keep_more) {
  model::Model model = model::make_random(llama_with_shared_heads(), 5);
  const at::Tensor ids = at::randint(0, 97, {2, 40}, at::TensorOptions().dtype(at::kLong));
  const at::Tensor before = model::hidden_of(model, ids).clone();
  const at::Tensor output = linear_named(model, "model.layers.1.self_attn.o_proj.weight").weight;
  const at::Tensor dense = output.clone();
  const sparse::Pattern pattern{2, 4};
  const auto permuted = permute_block(
      model, 1, [&](const std::string&) { return pattern; }, magnitudes);
  ASSERT_EQ(permuted.size(), 2u);
  EXPECT_TRUE(at::allclose(model::hidden_of(model, ids), before, 1e-4, 1e-5));
  EXPECT_TRUE(output.equal(dense.index_select(1, permuted[0].inputs.order)));
  for (const PermutedInputs& each : permuted) {
    const at::Tensor now = linear_named(model, each.name).weight.abs();
    EXPECT_NEAR(kept_score(now, pattern), each.inputs.kept_after, 1e-6 * each.inputs.kept_after);
    EXPECT_GT(each.inputs.kept_after, each.inputs.kept_before);
  }
  // Channels stay in their head, in the same order in the heads that share values.
  const at::Tensor heads = permuted[0].inputs.order.view({2, 2, 24});
  for (int64_t g = 0; g < 2; ++g) {
    EXPECT_TRUE(heads[g][1].equal(heads[g][0].add(24)));
    EXPECT_TRUE(std::get<0>(heads[g][0].sort()).equal(at::arange(48 * g, 48 * g + 24, at::kLong)));
  }
}

TEST_F(Permutations, a_gram_matrix_follows_its_inputs) {
  const at::Tensor x = at::randn({30, 16});
  const at::Tensor order = at::randperm(16, at::TensorOptions().dtype(at::kLong));
  const at::Tensor permuted = x.index_select(1, order);
  tensor::GramSum gram(16, at::kFloat);
  gram.add(x);
  EXPECT_TRUE(at::allclose(gram.permuted(order).matrix(), permuted.t().mm(permuted), 1e-4, 1e-4));
}

TEST_F(Permutations, layers_that_stay_dense_or_do_not_fit_are_left_alone) {
  model::Model model = model::make_random(llama_with_shared_heads(), 5);
  const auto pattern_of = [](const std::string& name) -> std::optional<sparse::Pattern> {
    if (name.find("o_proj") != std::string::npos) return sparse::Pattern{5, 7};  // of heads of 24
    return std::nullopt;
  };
  EXPECT_TRUE(permute_block(model, 0, pattern_of, magnitudes).empty());
  const auto unstructured = [](const std::string&) { return sparse::Pattern{0, 0, 0.5}; };
  EXPECT_TRUE(permute_block(model, 0, unstructured, magnitudes).empty());
}

}  // namespace
}  // namespace twofour::prune
