#include "twofour/sparse/pruning.h"

#include <cmath>

#include <ATen/ops/full.h>
#include <ATen/ops/linalg_cholesky_ex.h>
#include <ATen/ops/linalg_inv.h>
#include <ATen/ops/zeros.h>

#include "twofour/sparse/pruning_testing.h"
#include "twofour/tensor/tensor_testing.h"

namespace twofour::sparse {
namespace {

class Pruning : public PruningTest {};

at::Tensor norms_of_inputs(const at::Tensor& gram) { return gram.diagonal().sqrt(); }

TEST_F(Pruning, masks_keep_the_largest_scores_of_groups_rows_or_the_matrix) {
  for (int i = 0; i < 20; ++i) {
    const Pattern structured = pattern();
    const at::Tensor scores = layer(structured).weight.square();
    const at::Tensor mask = mask_of_scores(scores, structured, Share::kRow);
    const auto groups = [&](const at::Tensor& matrix) {
      return matrix.reshape({-1, structured.group});
    };
    EXPECT_TRUE(groups(mask).sum(1).eq(structured.kept).all().item<bool>()) << shape_;
    const at::Tensor least = groups(scores).masked_fill(groups(mask).logical_not(), 1e9).amin(1);
    const at::Tensor most = groups(scores).masked_fill(groups(mask), -1).amax(1);
    EXPECT_TRUE(least.ge(most).all().item<bool>()) << shape_;
    for (const Share share : {Share::kRow, Share::kMatrix}) {
      const Pattern unstructured = {0, 0, 0.01 * static_cast<double>(number(1, 99))};
      const at::Tensor own = mask_of_scores(scores, unstructured, share);
      const at::Tensor parts = share == Share::kRow ? scores : scores.reshape({1, -1});
      const auto removed =
          static_cast<int64_t>(unstructured.sparsity * static_cast<double>(parts.size(1)));
      const at::Tensor order = std::get<1>(parts.sort(/*stable=*/true, 1, /*descending=*/false));
      const at::Tensor expected =
          at::full(parts.sizes(), true).scatter(1, order.slice(1, 0, removed), false);
      EXPECT_TRUE(own.equal(expected.reshape(own.sizes()))) << shape_ << unstructured.text();
    }
  }
}

TEST_F(Pruning, scores_are_those_of_the_papers) {
  for (int i = 0; i < 10; ++i) {
    const auto [weight, gram] = layer({0, 0, 0.5});
    const at::Tensor norms = norms_of_inputs(gram), size = weight.abs().to(at::kDouble);
    EXPECT_LT(tensor::relative_difference(wanda_scores(weight, norms), size.mul(norms)), 1e-6);
    const at::Tensor relative = size.div(size.sum(0)).add(size.div(size.sum(1, true)));
    EXPECT_LT(
        tensor::relative_difference(ria_scores(weight, norms, 0.5), relative.mul(norms.sqrt())),
        1e-5)
        << shape_;
    const HessianFactor factor = factor_hessian(gram, 0.01, "layer");
    const at::Tensor u = factor.r.to(at::kDouble).inverse();
    const at::Tensor expected = size.div(u.diagonal()).square();
    EXPECT_LT(tensor::relative_difference(sparsegpt_scores(weight, factor), expected), 1e-5);
  }
  const at::Tensor holes = at::zeros({2, 3});
  EXPECT_TRUE(ria_scores(holes, at::full({3}, 1.0)).equal(holes));
}

TEST_F(Pruning, the_factor_is_that_of_the_damped_hessian) {
  for (const int64_t columns : {1, 5, 127, 128, 129, 300}) {
    const RandomLayer random(3, columns, 2 * columns);
    const at::Tensor hessian = random.gram.to(at::kDouble);
    const HessianFactor factor = factor_hessian(hessian, 0.1, "layer");
    const at::Tensor r = factor.r.to(at::kDouble);
    const at::Tensor damped =
        hessian.add(at::eye(columns).mul(0.1 * hessian.diagonal().mean().item<double>()));
    EXPECT_TRUE(r.equal(r.triu())) << columns;
    EXPECT_LT(tensor::relative_difference(r.mm(r.t()), damped), 1e-5) << columns;
    EXPECT_EQ(factor.damping, 0.1);
    EXPECT_FALSE(factor.is_dead.any().item<bool>());
  }
}

TEST_F(Pruning, a_singular_hessian_is_damped_until_it_has_a_factor) {
  const at::Tensor x = at::randn({5, 40});
  const HessianFactor factor = factor_hessian(x.t().mm(x), 0, "layer");
  EXPECT_GE(factor.damping, 1e-6);
  EXPECT_LE(factor.damping, 1e-3);
  EXPECT_TRUE(factor.r.isfinite().all().item<bool>());
  const HessianFactor of_zeros = factor_hessian(at::zeros({8, 8}), 0, "layer");
  EXPECT_TRUE(of_zeros.is_dead.all().item<bool>());
  EXPECT_EQ(of_zeros.damping, 0);
}

TEST_F(Pruning, a_hessian_without_factor_is_an_error_with_its_name) {
  at::Tensor hessian = at::eye(6);
  hessian[2][3].fill_(NAN);
  EXPECT_THAT_ERROR(factor_hessian(hessian, 0.01, "h.3.mlp"), "h.3.mlp: the Hessian is not finite");
  hessian[2][3].fill_(INFINITY);
  EXPECT_THAT_ERROR(factor_hessian(hessian, 0.01, "h.3.mlp"), "h.3.mlp: the Hessian is not finite");
  EXPECT_THAT_ERROR(factor_hessian(at::eye(6).neg(), 0.01, "h.3.mlp"),
                    "h.3.mlp: the Hessian has a negative entry on its diagonal");
  EXPECT_THAT_ERROR(factor_hessian(at::zeros({2, 3}), 0.01, "x"),
                    "must be a floating-point matrix");
  EXPECT_THAT_ERROR(factor_hessian(at::eye(6), NAN, "x"), "damping");
}

TEST_F(Pruning, without_correlation_or_damping_the_mask_is_wandas) {
  for (int i = 0; i < 20; ++i) {
    const Pattern own = pattern();
    const at::Tensor weight = layer(own).weight;
    // Squares, so that their roots are exact and no score is rounded differently.
    const at::Tensor norms = at::rand({weight.size(1)}).mul(100).ceil();
    const HessianFactor factor = factor_hessian(norms.square().diag(), 0, "layer");
    const PrunedWeight pruned = sparsegpt(weight, factor, own);
    const at::Tensor mask = mask_of_scores(wanda_scores(weight, norms), own, Share::kRow);
    EXPECT_TRUE(pruned.mask.equal(mask)) << shape_;
    EXPECT_TRUE(pruned.weight.equal(weight.mul(mask))) << shape_;
  }
}

TEST_F(Pruning, the_update_lowers_the_error) {
  for (int i = 0; i < 20; ++i) {
    const Pattern own = i % 2 ? pattern() : Pattern{0, 0, 0.5};
    const RandomLayer random(100, 240, 480);
    const HessianFactor factor = factor_hessian(random.gram, 0.01, "layer");
    const at::Tensor static_mask =
        mask_of_scores(sparsegpt_scores(random.weight, factor), own, Share::kMatrix);
    const double masked =
        layer_error_of(random.weight, random.weight.mul(static_mask), random.gram);
    const PrunedWeight given = sparsegpt(random.weight, factor, own, 128, static_mask);
    const PrunedWeight chosen = sparsegpt(random.weight, factor, own);
    EXPECT_TRUE(given.mask.equal(static_mask));
    EXPECT_LT(layer_error_of(random.weight, given.weight, random.gram), masked) << own.text();
    EXPECT_LT(layer_error_of(random.weight, chosen.weight, random.gram), masked) << own.text();
  }
}

// Algorithm 1 with the inverse and its factor, in float64.
at::Tensor published_weights(const at::Tensor& weight, const at::Tensor& hessian, double damping,
                             const at::Tensor& mask) {
  at::Tensor w = weight.to(at::kDouble).clone(), h = hessian.to(at::kDouble).clone();
  h.diagonal().add_(damping * h.diagonal().mean().item<double>());
  const at::Tensor u = std::get<0>(at::linalg_cholesky_ex(h.inverse())).t();
  for (int64_t j = 0; j < w.size(1); ++j) {
    const at::Tensor error = w.select(1, j).masked_fill(mask.select(1, j), 0).div(u[j][j]);
    w.slice(1, j, w.size(1)).sub_(error.outer(u[j].slice(0, j, w.size(1))));
  }
  return w.mul(mask);
}

TEST_F(Pruning, a_given_mask_gets_the_published_weights_for_any_block) {
  for (int i = 0; i < 15; ++i) {
    const Pattern own = i % 2 ? pattern() : Pattern{0, 0, 0.6};
    const auto [weight, gram] = layer(own);
    const HessianFactor factor = factor_hessian(gram, 0.05, "layer");
    const at::Tensor mask = at::rand(weight.sizes()).gt(0.5);
    const at::Tensor expected = published_weights(weight, gram, 0.05, mask);
    for (const int64_t block : {128, 1, 48, 1000}) {
      const PrunedWeight pruned = sparsegpt(weight, factor, own, block, mask);
      EXPECT_LT(tensor::relative_difference(pruned.weight, expected), 1e-4) << shape_ << block;
      EXPECT_TRUE(pruned.mask.equal(mask));
    }
  }
}

TEST_F(Pruning, every_group_has_its_pattern_and_removed_weights_are_zero) {
  for (int i = 0; i < 15; ++i) {
    const Pattern own = pattern();
    const auto [weight, gram] = layer(own);
    const PrunedWeight pruned = sparsegpt(weight, factor_hessian(gram, 0.01, "layer"), own);
    const at::Tensor counts = pruned.mask.reshape({-1, own.group}).sum(1);
    EXPECT_TRUE(counts.eq(own.kept).all().item<bool>()) << shape_;
    EXPECT_TRUE(pruned.weight.masked_select(pruned.mask.logical_not()).eq(0).all().item<bool>());
    const PrunedWeight again =
        sparsegpt(weight, factor_hessian(gram, 0.01, "layer"), own, 128, pruned.mask);
    EXPECT_TRUE(again.weight.equal(pruned.weight)) << shape_;
  }
}

TEST_F(Pruning, dead_inputs_get_weight_zero_and_change_no_other) {
  RandomLayer random(30, 64, 128);
  const at::Tensor dead = at::zeros({64}).to(at::kBool);
  for (const int64_t j : {0, 7, 63}) dead[j].fill_(true);
  random.gram.masked_fill_(dead, 0).masked_fill_(dead.unsqueeze(1), 0);
  const HessianFactor factor = factor_hessian(random.gram, 0, "layer");
  EXPECT_TRUE(factor.is_dead.equal(dead));
  EXPECT_EQ(sparsegpt_scores(random.weight, factor).masked_select(dead).abs().max().item<float>(),
            0);
  const at::Tensor other = random.weight.masked_fill(dead, 1000);
  const PrunedWeight pruned = sparsegpt(random.weight, factor, {2, 4, 0});
  EXPECT_EQ(pruned.weight.masked_select(dead).abs().max().item<float>(), 0);
  EXPECT_TRUE(sparsegpt(other, factor, {2, 4, 0}).weight.equal(pruned.weight));
}

TEST_F(Pruning, bits_do_not_depend_on_the_number_of_threads) {
  for (const int64_t rows : {1, 40, 64, 65, 200}) {
    const RandomLayer random(rows, 264, 500);
    const at::Tensor norms = norms_of_inputs(random.gram);
    shape_ = std::to_string(rows);
    expect_same_bits([&]() -> std::vector<at::Tensor> {
      const HessianFactor factor = factor_hessian(random.gram, 0.01, "layer");
      const PrunedWeight structured = sparsegpt(random.weight, factor, {2, 4, 0});
      const PrunedWeight unstructured = sparsegpt(random.weight, factor, {0, 0, 0.5});
      return {factor.r,
              structured.weight,
              structured.mask,
              unstructured.weight,
              unstructured.mask,
              ria_scores(random.weight, norms),
              row_errors(random.weight, random.gram)};
    });
  }
}

TEST_F(Pruning, other_dtypes_and_layouts_are_converted) {
  const RandomLayer random(20, 48, 100);
  const HessianFactor factor = factor_hessian(random.gram.to(at::kDouble).t(), 0.01, "layer");
  for (const at::ScalarType dtype : {at::kBFloat16, at::kHalf, at::kDouble}) {
    const at::Tensor weight = random.weight.to(dtype);
    const PrunedWeight expected = sparsegpt(weight.to(at::kFloat), factor, {2, 4, 0});
    for (const at::Tensor& layout : {weight, weight.t().contiguous().t()}) {
      EXPECT_TRUE(sparsegpt(layout, factor, {2, 4, 0}).weight.equal(expected.weight));
    }
  }
}

TEST_F(Pruning, errors_say_what_does_not_fit) {
  const RandomLayer random(8, 24, 50);
  const HessianFactor factor = factor_hessian(random.gram, 0.01, "layer");
  EXPECT_THAT_ERROR(check({4, 4, 0}), "4:4 is not one of N:M");
  EXPECT_THAT_ERROR(check({0, 4, 0}), "0:4 is not one of N:M");
  EXPECT_THAT_ERROR(check({2, 9, 0}), "2:9 is not one of N:M");
  EXPECT_THAT_ERROR(check({0, 0, 1.0}), "the sparsity 1 does not lie between 0 and 1");
  EXPECT_THAT_ERROR(check({0, 0, NAN}), "does not lie between 0 and 1");
  EXPECT_THAT_ERROR(sparsegpt(random.weight, factor, {2, 5, 0}), "24 columns are not a multiple");
  EXPECT_THAT_ERROR(sparsegpt(random.weight.t(), factor, {2, 4, 0}), "Hessian of 8 inputs");
  EXPECT_THAT_ERROR(sparsegpt(random.weight, factor, {2, 4, 0}, 0), "a block of 0 columns");
  EXPECT_THAT_ERROR(sparsegpt(random.weight, factor, {2, 4, 0}, 128, at::zeros({8, 8})),
                    "the mask must have the weight's sizes [8, 24]");
  EXPECT_THAT_ERROR(wanda_scores(random.weight, at::zeros({8})), "the norms of 24 inputs");
  EXPECT_EQ((Pattern{2, 4, 0}.text()), "2:4");
  EXPECT_EQ((Pattern{0, 0, 0.5}.text()), "50 %");
}

TEST_F(Pruning, a_weight_without_entries_stays_so) {
  const HessianFactor factor = factor_hessian(at::eye(8), 0.01, "layer");
  EXPECT_EQ(sparsegpt(at::zeros({0, 8}), factor, {0, 0, 0.5}).weight.numel(), 0);
  const HessianFactor of_nothing = factor_hessian(at::zeros({0, 0}), 0.01, "layer");
  EXPECT_EQ(sparsegpt(at::zeros({3, 0}), of_nothing, {2, 4, 0}).mask.numel(), 0);
}

}  // namespace
}  // namespace twofour::sparse
