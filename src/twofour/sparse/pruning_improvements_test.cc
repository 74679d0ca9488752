// Swaps and weights for a mask, against brute force in float64.
#include <cmath>

#include <ATen/ops/linalg_solve.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include "twofour/sparse/pruning.h"
#include "twofour/sparse/pruning_testing.h"
#include "twofour/tensor/tensor_testing.h"

namespace twofour::sparse {
namespace {

class PruningImprovements : public PruningTest {};

at::Tensor random_pattern_mask(const at::Tensor& weight, const Pattern& pattern) {
  return mask_of_scores(at::rand(weight.sizes()), pattern, Share::kRow);
}

// The least change of each row's error by one swap, from the definition of the error.
at::Tensor best_changes(const at::Tensor& weight, const at::Tensor& mask, const at::Tensor& gram,
                        int64_t group) {
  const at::Tensor w = weight.to(at::kDouble), g = gram.to(at::kDouble);
  const at::Tensor c = w.masked_fill(mask, 0).mm(g), diagonal = g.diagonal();
  at::Tensor best = at::full({w.size(0)}, 1e30, w.options());
  for (int64_t p = 0; p < w.size(1); ++p) {
    for (int64_t r = p / group * group; r < p / group * group + group; ++r) {
      if (p == r) continue;
      const at::Tensor wp = w.select(1, p), wr = w.select(1, r);
      const at::Tensor change = wp.mul(c.select(1, p))
                                    .mul(2)
                                    .sub(wr.mul(c.select(1, r)).mul(2))
                                    .add(wp.square().mul(diagonal[p]))
                                    .add(wr.square().mul(diagonal[r]))
                                    .sub(wp.mul(wr).mul(g[p][r]).mul(2));
      const at::Tensor is_swap = mask.select(1, p).logical_and(mask.select(1, r).logical_not());
      best = at::where(is_swap.logical_and(change.lt(best)), change, best);
    }
  }
  return best;
}

TEST_F(PruningImprovements, row_errors_are_those_of_the_outputs) {
  for (int i = 0; i < 10; ++i) {
    const auto [weight, gram] = layer({0, 0, 0.5});
    const at::Tensor d = weight.to(at::kDouble),
                     expected = d.mm(gram.to(at::kDouble)).mul(d).sum(1);
    EXPECT_LT(tensor::relative_difference(row_errors(weight, gram), expected), 1e-5) << shape_;
  }
  EXPECT_TRUE(row_errors(at::zeros({3, 4}), at::eye(4)).equal(at::zeros({3}).to(at::kDouble)));
}

TEST_F(PruningImprovements, swaps_never_raise_a_rows_error_and_end_where_none_lowers_it) {
  for (int i = 0; i < 30; ++i) {
    const Pattern own = pattern();
    const auto [weight, gram] = layer(own, 160);
    const at::Tensor before = random_pattern_mask(weight, own);
    const at::Tensor after = swap_mask(weight, before, gram, own);
    const auto errors = [&](const at::Tensor& mask) {
      const at::Tensor d = weight.masked_fill(mask, 0).to(at::kDouble);
      return d.mm(gram.to(at::kDouble)).mul(d).sum(1);
    };
    const at::Tensor old_errors = errors(before), new_errors = errors(after);
    EXPECT_TRUE(new_errors.le(old_errors).all().item<bool>()) << shape_;
    const at::Tensor change = best_changes(weight, after, gram, own.group);
    EXPECT_TRUE(change.gt(new_errors.mul(-1e-4).sub(1e-9)).all().item<bool>()) << shape_;
    EXPECT_TRUE(after.reshape({-1, own.group}).sum(1).eq(own.kept).all().item<bool>()) << shape_;
    EXPECT_TRUE(swap_mask(weight, after, gram, own).equal(after)) << shape_;
  }
}

TEST_F(PruningImprovements, swaps_are_limited_in_each_row) {
  const RandomLayer random(50, 128, 300);
  const Pattern own = {2, 4, 0};
  const at::Tensor before = random_pattern_mask(random.weight, own);
  for (const int64_t most : {1, 3}) {
    const at::Tensor after = swap_mask(random.weight, before, random.gram, own, most);
    EXPECT_TRUE(after.ne(before).sum(1).le(2 * most).all().item<bool>());
    EXPECT_GT(after.ne(before).sum().item<int64_t>(), 50);
  }
}

TEST_F(PruningImprovements, exact_weights_beat_admm_and_admm_beats_the_mask_alone) {
  for (int i = 0; i < 15; ++i) {
    const Pattern own = i % 2 ? pattern() : Pattern{0, 0, 0.5};
    const RandomLayer random(number(1, 90), 120, 400);
    const at::Tensor mask = mask_of_scores(random.weight.square(), own, Share::kRow);
    const at::Tensor admm = reweight_admm(random.weight, mask, random.gram, 0);
    const at::Tensor exact = reweight_exact(random.weight, mask, random.gram, 0);
    const double best = layer_error_of(random.weight, exact, random.gram);
    const double near = layer_error_of(random.weight, admm, random.gram);
    const double masked = layer_error_of(random.weight, random.weight.mul(mask), random.gram);
    EXPECT_LE(best, near * (1 + 1e-5)) << own.text();
    EXPECT_LT(near, 0.97 * masked) << own.text();
    EXPECT_LT(near, best * 1.1) << own.text();
    for (const at::Tensor& weight : {admm, exact}) {
      EXPECT_TRUE(weight.masked_fill(mask, 0).eq(0).all().item<bool>());
    }
  }
}

TEST_F(PruningImprovements, exact_weights_solve_the_damped_system_of_each_row) {
  const RandomLayer random(12, 40, 100);
  const at::Tensor mask = random_pattern_mask(random.weight, {2, 4, 0});
  const at::Tensor exact = reweight_exact(random.weight, mask, random.gram, 0.05);
  at::Tensor damped = random.gram.to(at::kDouble).clone();
  damped.diagonal().mul_(1.05);
  for (int64_t row = 0; row < 12; ++row) {
    const at::Tensor kept = mask[row].nonzero().squeeze(1);
    const at::Tensor rows = damped.index_select(0, kept);
    const at::Tensor expected =
        at::linalg_solve(rows.index_select(1, kept), rows.mv(random.weight[row].to(at::kDouble)));
    EXPECT_LT(tensor::relative_difference(exact[row].index_select(0, kept), expected), 1e-4);
  }
}

TEST_F(PruningImprovements, more_iterations_approach_the_exact_weights) {
  const RandomLayer random(40, 96, 300);
  const at::Tensor mask = random_pattern_mask(random.weight, {2, 4, 0});
  const at::Tensor exact = reweight_exact(random.weight, mask, random.gram, 0.01);
  double last = 1e30;
  for (const int64_t iterations : {1, 5, 20, 300}) {
    const at::Tensor is = reweight_admm(random.weight, mask, random.gram, 0.01, iterations);
    const double distance = tensor::relative_difference(is, exact);
    EXPECT_LT(distance, last) << iterations;
    last = distance;
  }
  EXPECT_LT(last, 1e-3);
}

TEST_F(PruningImprovements, a_start_that_is_better_stays) {
  const RandomLayer random(40, 96, 300);
  const at::Tensor mask = random_pattern_mask(random.weight, {2, 4, 0});
  const at::Tensor exact = reweight_exact(random.weight, mask, random.gram, 0);
  EXPECT_TRUE(reweight_admm(random.weight, mask, random.gram, 1.0, 1, exact).equal(exact));
  const HessianFactor factor = factor_hessian(random.gram, 0.01, "layer");
  const at::Tensor start = sparsegpt(random.weight, factor, {2, 4, 0}, 128, mask).weight;
  const at::Tensor result = reweight_admm(random.weight, mask, random.gram, 0.01, 20, start);
  EXPECT_TRUE(row_errors(random.weight.sub(result), random.gram)
                  .le(row_errors(random.weight.sub(start), random.gram))
                  .all()
                  .item<bool>());
  EXPECT_LT(layer_error_of(random.weight, result, random.gram),
            layer_error_of(random.weight, start, random.gram));
}

TEST_F(PruningImprovements, inputs_without_energy_do_no_harm) {
  RandomLayer random(20, 32, 100);
  random.gram.select(0, 5).zero_();
  random.gram.select(1, 5).zero_();
  const at::Tensor mask = random_pattern_mask(random.weight, {2, 4, 0});
  for (const at::Tensor& weight : {reweight_admm(random.weight, mask, random.gram),
                                   reweight_exact(random.weight, mask, random.gram)}) {
    EXPECT_TRUE(weight.isfinite().all().item<bool>());
  }
  const at::Tensor zeros = at::zeros({32, 32});
  EXPECT_TRUE(swap_mask(random.weight, mask, zeros, {2, 4, 0}).equal(mask));
  EXPECT_TRUE(reweight_admm(random.weight, mask, zeros).equal(random.weight.mul(mask)));
}

TEST_F(PruningImprovements, bits_do_not_depend_on_the_number_of_threads) {
  for (const int64_t rows : {1, 64, 150}) {
    const RandomLayer random(rows, 136, 300);
    const at::Tensor mask = random_pattern_mask(random.weight, {2, 4, 0});
    shape_ = std::to_string(rows);
    expect_same_bits([&]() -> std::vector<at::Tensor> {
      return {swap_mask(random.weight, mask, random.gram, {2, 4, 0}),
              reweight_admm(random.weight, mask, random.gram),
              reweight_exact(random.weight, mask, random.gram)};
    });
  }
}

TEST_F(PruningImprovements, errors_say_what_does_not_fit) {
  const RandomLayer random(8, 24, 50);
  const at::Tensor mask = random_pattern_mask(random.weight, {2, 4, 0});
  EXPECT_THAT_ERROR(swap_mask(random.weight, mask, random.gram, {1, 4, 0}),
                    "the mask is not 1:4: row 0 keeps 2 of the 4 entries from column 0");
  EXPECT_THAT_ERROR(swap_mask(random.weight, mask, random.gram, {0, 0, 0.5}), "pattern N:M");
  EXPECT_THAT_ERROR(swap_mask(random.weight, mask.t(), random.gram, {2, 4, 0}),
                    "the weight's sizes [8, 24]");
  EXPECT_THAT_ERROR(swap_mask(random.weight, mask, at::eye(8), {2, 4, 0}), "[24, 24]");
  EXPECT_THAT_ERROR(reweight_admm(random.weight, mask.t(), random.gram), "sizes [8, 24]");
  EXPECT_THAT_ERROR(reweight_exact(random.weight, mask, at::eye(8)), "[24, 24]");
  EXPECT_THAT_ERROR(row_errors(random.weight, at::eye(8)), "[24, 24]");
}

}  // namespace
}  // namespace twofour::sparse
