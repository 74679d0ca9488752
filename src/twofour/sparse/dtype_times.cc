#include "twofour/sparse/dtype_times.h"

#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/grad_mode.h>

namespace twofour::sparse {
namespace {

using tensor::Product;

constexpr int64_t kTokens = 512, kIn = 768, kOut = 3072;
constexpr double kClearly = 0.9;

// A random weight with the entries where row + column is odd: 2:4 along both sides.
at::Tensor checkered_weight(at::ScalarType dtype) {
  at::Tensor weight = at::randn({kOut, kIn});
  for (const int64_t parity : {0, 1}) {
    weight.slice(0, parity, kOut, 2).slice(1, parity, kIn, 2).zero_();
  }
  return weight.to(dtype);
}

class Layer {
 public:
  explicit Layer(at::ScalarType dtype)
      : dtype_(dtype),
        weight_(checkered_weight(dtype)),
        x_(at::randn({kTokens, kIn}).to(dtype)),
        dz_(at::randn({kTokens, kOut}).to(dtype)),
        gradient_(at::zeros({kOut, kIn})) {}

  // nullopt if a product was not measured.
  std::optional<double> dense_ms() {
    forward_product(x_, weight_, {});
    input_gradient_product(dz_, weight_);
    add_weight_gradient_product(dz_, x_, gradient_);
    return sum_of(
        {Product::kPlainForward, Product::kPlainInputGradient, Product::kPlainWeightGradient});
  }

  std::optional<double> sparse_ms(const SparseUse& use) {
    Weight24 weight24(use.along, /*in_training=*/true);
    forward_product(x_, weight_, {}, &weight24);
    input_gradient_product(dz_, weight_, &weight24);
    Product last = Product::kPlainWeightGradient;
    if (use.weight_gradient == WeightGradient::kMvue) {
      add_estimated_weight_gradient(dz_, x_, RandomStream{}, gradient_);
      last = Product::kWeightGradient;
    }
    return sum_of({Product::kForward, input_gradient_choice(weight_, weight24), last});
  }

 private:
  std::optional<double> sum_of(const std::vector<Product>& products) const {
    double sum = 0;
    for (const Product product : products) {
      const bool reads_24 = product == Product::kForward || product == Product::kInputGradient ||
                            product == Product::kDenseInputGradient;
      const auto choice = tensor::choice_made({product, kTokens, kIn, kOut, dtype_, reads_24});
      if (!choice) return {};
      const double ms =
          tensor::is_dense(choice->implementation) ? choice->dense_ms : choice->sparse_ms;
      if (ms <= 0) return {};
      sum += ms;
    }
    return sum;
  }

  at::ScalarType dtype_;
  at::Tensor weight_, x_, dz_, gradient_;
};

}  // namespace

std::vector<DtypeTime> dtype_times(const std::vector<at::ScalarType>& dtypes,
                                   const std::optional<SparseUse>& use) {
  if (!tensor::measures_choices()) return {};
  const at::NoGradGuard no_gradients;
  std::vector<DtypeTime> times;
  for (const at::ScalarType dtype : dtypes) {
    Layer layer(dtype);
    const auto dense = layer.dense_ms();
    if (!dense) return {};
    const auto sparse = use ? layer.sparse_ms(*use) : 0.0;
    if (!sparse) return {};
    times.push_back({dtype, *dense + *sparse});
  }
  return times;
}

at::ScalarType fastest_dtype(const std::vector<DtypeTime>& times) {
  DtypeTime best = times.at(0);
  for (const DtypeTime& each : times) {
    const auto handicap = [](const DtypeTime& time) {
      return time.dtype == at::kFloat ? kClearly * time.ms : time.ms;
    };
    if (handicap(each) < handicap(best)) best = each;
  }
  return best.dtype;
}

}  // namespace twofour::sparse
