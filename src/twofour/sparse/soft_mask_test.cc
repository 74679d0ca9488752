#include "twofour/sparse/soft_mask.h"

#include <gtest/gtest.h>

#include <ATen/ops/randn.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/grad_mode.h>

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

}  // namespace
}  // namespace twofour::sparse
