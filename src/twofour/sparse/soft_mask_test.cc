#include "twofour/sparse/soft_mask.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <ATen/ops/randn.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/autograd.h>

#include "twofour/sparse/linear24.h"
#include "twofour/sparse/masks.h"
#include "twofour/tensor/tensor_testing.h"

namespace twofour::sparse {
namespace {

at::Tensor tensor_of(const testing::GoldenTensor& stored) {
  auto values = stored.floats();
  return at::from_blob(values.data(), stored.shape, at::TensorOptions().dtype(at::kFloat)).clone();
}

Linear masked_layer(const at::Tensor& weight, const at::Tensor& logits, int64_t kept = 2,
                    int64_t group = 4) {
  Linear layer;
  layer.weight = weight;
  layer.soft_mask =
      std::make_shared<SoftMask>(kernels::Candidates(kept, group), logits.requires_grad_());
  return layer;
}

struct Results {
  at::Tensor z, dx, dlogits;
};

Results run(const Linear& layer, const at::Tensor& x, const at::Tensor& dz) {
  const at::Tensor input = x.detach().clone().requires_grad_();
  layer.soft_mask->logits.mutable_grad() = at::Tensor();
  const at::Tensor z = linear(input, layer);
  torch::autograd::backward({z}, {dz});
  return {z.detach(), input.grad(), layer.soft_mask->logits.grad().clone()};
}

TEST(SoftMaskedLinear, has_the_golden_loss_and_gradients) {
  SKIP_WITHOUT_SHARED();
  for (const char* name :
       {"learned_mask_0.safetensors", "learned_mask_1.safetensors", "learned_mask_2.safetensors"}) {
    SCOPED_TRACE(name);
    const auto stored = testing::read_golden(testing::shared_folder() / "golden" / name);
    const auto golden = [&](const char* of) { return tensor_of(stored.at(of)); };
    const Linear layer = masked_layer(golden("weight"), golden("logits"));
    const at::Tensor gumbel = golden("gumbel");
    const double regularisation = golden("regularisation").item<double>();
    kernels::SoftMaskOptions& options = layer.soft_mask->options;
    options.kappa = golden("kappa").item<float>();
    options.tau = golden("tau").item<float>();
    options.noise = kernels::Noise::kGiven;
    options.gumbel = gumbel.const_data_ptr<float>();
    layer.soft_mask->regularisation = regularisation;
    const Results results = run(layer, golden("x"), golden("r"));
    const double loss = results.z.mul(golden("r")).sum(at::kDouble).item<double>() -
                        regularisation * layer.soft_mask->squares;
    const double expected = golden("loss").item<double>();
    EXPECT_NEAR(loss, expected, 1e-4 * std::abs(expected));
    EXPECT_LT(tensor::relative_difference(results.dlogits, golden("dlogits")), 1e-4);
    const at::Tensor masked = golden("weight").mul(golden("soft_mask"));
    EXPECT_LT(tensor::relative_difference(results.dx, golden("r").mm(masked)), 1e-4);
  }
}

at::Tensor random_logits(const Linear& layer, int64_t kept, int64_t group) {
  const kernels::Candidates candidates(kept, group);
  return at::randn({layer.weight.size(0), layer.weight.size(1) / group, candidates.count()})
      .mul_(0.01);
}

Linear random_masked_layer(int64_t out, int64_t in, int64_t kept = 2, int64_t group = 4) {
  Linear layer;
  layer.weight = at::randn({out, in});
  layer = masked_layer(layer.weight, random_logits(layer, kept, group), kept, group);
  layer.bias = at::randn({out});
  layer.soft_mask->options.noise = kernels::Noise::kDrawn;
  layer.soft_mask->options.stream = {1, 2, 3, 4};
  return layer;
}

// W̃ and dlogits by the kernels, for the whole matrix at once.
struct Expected {
  at::Tensor masked, dlogits, dweight;

  Expected(const Linear& layer, const at::Tensor& dmasked) {
    const SoftMask& mask = *layer.soft_mask;
    const at::Tensor logits = mask.logits.detach().to(at::kFloat), weight = layer.weight.detach();
    masked = at::zeros_like(weight);
    dlogits = at::zeros_like(logits);
    dweight = at::zeros_like(weight);
    kernels::add_soft_mask_gradients(
        logits.const_data_ptr<float>(), weight.const_data_ptr<float>(),
        dmasked.const_data_ptr<float>(), weight.size(0), weight.size(1), mask.candidates,
        mask.options, mask.regularisation, dlogits.mutable_data_ptr<float>(),
        dweight.mutable_data_ptr<float>(), masked.mutable_data_ptr<float>());
  }
};

TEST(SoftMaskedLinear, has_the_products_of_the_masked_weight_for_all_patterns) {
  for (const auto& [kept, group] :
       {std::pair<int64_t, int64_t>{2, 4}, {1, 4}, {1, 2}, {4, 8}, {3, 5}}) {
    SCOPED_TRACE(fmt::format("{}:{}", kept, group));
    Linear layer = random_masked_layer(13, 7 * group, kept, group);
    layer.soft_mask->regularisation = 0.01;
    layer.weight.requires_grad_();
    layer.bias.requires_grad_();
    const at::Tensor x = at::randn({9, 7 * group}), dz = at::randn({9, 13});
    const Results results = run(layer, x, dz);
    const Expected expected(layer, dz.t().mm(x).contiguous());
    EXPECT_LT(tensor::relative_difference(results.z, x.mm(expected.masked.t()).add(layer.bias)),
              1e-5);
    EXPECT_LT(tensor::relative_difference(results.dx, dz.mm(expected.masked)), 1e-5);
    EXPECT_LT(tensor::relative_difference(results.dlogits, expected.dlogits), 1e-4);
    EXPECT_LT(tensor::relative_difference(layer.weight.grad(), expected.dweight), 1e-4);
    EXPECT_LT(tensor::relative_difference(layer.bias.grad(), dz.sum(0)), 1e-5);
    EXPECT_NEAR(layer.soft_mask->squares, expected.masked.square().sum().item<double>(), 1e-3);
  }
}

// More entries than the memory for dW̃ holds: rows follow in parts, each with the noise of its
// place.
TEST(SoftMaskedLinear, of_a_large_weight_has_the_gradients_of_the_whole_matrix) {
  const Linear layer = random_masked_layer(1100, 4096);
  const at::Tensor x = at::randn({2, 4096}), dz = at::randn({2, 1100});
  const Results results = run(layer, x, dz);
  const Expected expected(layer, dz.t().mm(x).contiguous());
  EXPECT_LT(tensor::relative_difference(results.dlogits, expected.dlogits), 1e-4);
  EXPECT_LT(tensor::relative_difference(results.dx, dz.mm(expected.masked)), 1e-4);
}

TEST(SoftMaskedLinear, frozen_parameters_get_no_gradients) {
  const Linear layer = random_masked_layer(8, 16);
  const at::Tensor x = at::randn({5, 16}), dz = at::randn({5, 8});
  torch::autograd::backward({linear(x, layer)}, {dz});
  EXPECT_TRUE(layer.soft_mask->logits.grad().defined()) << "although x requires no gradient";
  EXPECT_FALSE(layer.weight.grad().defined());
  EXPECT_FALSE(layer.bias.grad().defined());
}

TEST(SoftMaskedLinear, gradients_accumulate_over_passes_in_one_buffer) {
  const Linear layer = random_masked_layer(8, 16);
  const at::Tensor x = at::randn({5, 16}), dz = at::randn({5, 8});
  torch::autograd::backward({linear(x, layer)}, {dz});
  const at::Tensor once = layer.soft_mask->logits.grad().clone();
  const void* buffer = layer.soft_mask->logits.grad().const_data_ptr();
  torch::autograd::backward({linear(x, layer)}, {dz});
  EXPECT_EQ(layer.soft_mask->logits.grad().const_data_ptr(), buffer);
  EXPECT_LT(tensor::relative_difference(layer.soft_mask->logits.grad(), once.mul(2)), 1e-6);
}

TEST(SoftMaskedLinear, backward_uses_the_options_of_its_forward_pass) {
  const Linear layer = random_masked_layer(8, 16);
  const at::Tensor x = at::randn({5, 16}), dz = at::randn({5, 8});
  const Results expected = run(layer, x, dz);
  layer.soft_mask->logits.mutable_grad() = at::Tensor();
  const at::Tensor z = linear(x, layer);
  layer.soft_mask->options.stream.micro_batch += 1;
  layer.soft_mask->options.kappa = 500;
  torch::autograd::backward({z}, {dz});
  EXPECT_TRUE(layer.soft_mask->logits.grad().equal(expected.dlogits));
}

TEST(SoftMaskedLinear, bfloat16_logits_and_inputs_have_float32_gradients) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    Linear layer = random_masked_layer(24, 32);
    layer.soft_mask->logits = layer.soft_mask->logits.detach().to(at::kBFloat16).requires_grad_();
    const at::Tensor x = at::randn({16, 32}).to(dtype), dz = at::randn({16, 24}).to(dtype);
    const Results results = run(layer, x, dz);
    EXPECT_EQ(results.z.scalar_type(), dtype);
    EXPECT_EQ(results.dx.scalar_type(), dtype);
    EXPECT_EQ(results.dlogits.scalar_type(), at::kFloat);
    const at::Tensor wide = x.to(at::kFloat), dwide = dz.to(at::kFloat);
    const Expected expected(layer, dwide.t().mm(wide).contiguous());
    EXPECT_LT(tensor::relative_difference(results.dlogits, expected.dlogits), 0.02);
    EXPECT_LT(tensor::relative_difference(results.z, wide.mm(expected.masked.t()).add(layer.bias)),
              0.02);
  }
}

TEST(SoftMaskedLinear, evaluates_the_likeliest_mask_without_noise) {
  Linear layer = random_masked_layer(8, 16);
  layer.mask_use = MaskUse::kEvaluate;
  const SoftMask& mask = *layer.soft_mask;
  const at::Tensor best = unpacked_mask(best_mask(mask), layer.weight.sizes());
  EXPECT_TRUE(best.view({-1, 4}).sum(1).eq(2).all().item<bool>());
  const at::Tensor masked = layer.weight.mul(best);
  EXPECT_TRUE(best_masked_weight(layer.weight, mask).equal(masked));
  const at::Tensor x = at::randn({5, 16}).requires_grad_(), dz = at::randn({5, 8});
  const at::Tensor z = linear(x, layer);
  EXPECT_LT(tensor::relative_difference(z.detach(), x.detach().mm(masked.t()).add(layer.bias)),
            1e-5);
  torch::autograd::backward({z}, {dz});
  EXPECT_LT(tensor::relative_difference(x.grad(), dz.mm(masked)), 1e-5);
  EXPECT_FALSE(mask.logits.grad().defined());
}

TEST(SoftMaskedLinear, refuses_logits_of_another_shape) {
  Linear layer = random_masked_layer(8, 16);
  layer.weight = at::randn({8, 20});
  EXPECT_THAT_ERROR(linear(at::randn({5, 20}), layer), "192 logits do not fit a weight");
  layer = random_masked_layer(8, 16);
  layer.soft_mask->logits = layer.soft_mask->logits.detach().to(at::kHalf);
  EXPECT_THAT_ERROR(linear(at::randn({5, 16}), layer), "logits are float32 or bfloat16, not Half");
}

}  // namespace
}  // namespace twofour::sparse
