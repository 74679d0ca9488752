#include "twofour/cli/bench/dense.h"

#include <optional>

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/jit_type.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>

#include "twofour/base/error.h"
#include "twofour/tensor/accumulate.h"
#include "twofour/tensor/blas.h"
#include "twofour/tensor/mixed_product.h"
#include "twofour/tensor/onednn.h"

namespace twofour::cli {
namespace {

// An operator of libtorch that its public headers do not declare.
at::Tensor call(const char* name, std::vector<c10::IValue> arguments) {
  const auto found = c10::Dispatcher::singleton().findSchema({name, ""});
  if (!found) fail("libtorch has no {}", name);
  found->callBoxed(&arguments);
  return arguments.at(0).toTensor();
}

c10::IValue optional_tensor(const at::Tensor& tensor) {
  return tensor.defined() ? c10::IValue(tensor) : c10::IValue();
}

double largest_magnitude(const at::Tensor& tensor) {
  return tensor.to(at::kFloat).abs().max().item<double>();
}

// Tries each implementation once.
class Collector {
 public:
  /// `prepare` runs before each result that must equal `expected`.
  explicit Collector(
      at::Tensor expected, std::function<void()> prepare = [] {})
      : expected_(std::move(expected)), prepare_(std::move(prepare)) {}

  /// `make` returns the function to time. Its own work is not timed.
  void add(const char* name, const std::function<std::function<at::Tensor()>()>& make) {
    try {
      std::function<at::Tensor()> run = make();
      prepare_();
      if (!agrees(run(), expected_)) fail("its result differs from ATen's");
      products_.all.push_back({name, std::move(run)});
    } catch (const std::exception& error) {
      const std::string message = error.what();
      products_.left_out[name] = message.substr(0, message.find('\n'));
    }
  }

  DenseProducts take() { return std::move(products_); }

 private:
  at::Tensor expected_;
  std::function<void()> prepare_;
  DenseProducts products_;
};

const tensor::Blas& available(const tensor::Blas* blas, at::ScalarType dtype) {
  if (!blas) fail("not installed");
  if (!blas->takes(dtype)) fail("has no product of {}", c10::toString(dtype));
  return *blas;
}

}  // namespace

bool agrees(const at::Tensor& result, const at::Tensor& expected) {
  const double tolerance = expected.scalar_type() == at::kFloat      ? 1e-4
                           : expected.scalar_type() == at::kBFloat16 ? 2e-2
                                                                     : 5e-3;
  // The error grows with the number of terms, not with the sum.
  const at::Tensor difference = result.to(at::kFloat).sub(expected.to(at::kFloat));
  return largest_magnitude(difference) <= tolerance * largest_magnitude(expected);
}

DenseProducts dense_products(const at::Tensor& x, const at::Tensor& weight,
                             const at::Tensor& bias) {
  const at::ScalarType dtype = x.scalar_type();
  const auto aten = [=] {
    return bias.defined() ? at::addmm(bias, x, weight.t()) : at::mm(x, weight.t());
  };
  Collector collector(aten());
  collector.add("aten", [&] { return aten; });
  collector.add("onednn packed", [&] {
    const at::Tensor packed = tensor::reorder_for_onednn(weight, x.size(0));
    return [=] { return tensor::onednn_linear(x, packed, bias); };
  });
  if (dtype == at::kFloat) {
    collector.add("mkl packed", [&] {
      const at::Tensor plain = weight.contiguous();
      const at::Tensor packed = call("mkl::_mkl_reorder_linear_weight", {plain, x.size(0)});
      return [=] {
        return call("mkl::_mkl_linear", {x, packed, plain, optional_tensor(bias), x.size(0)});
      };
    });
  }
  const auto add_blas = [&](const char* name, const tensor::Blas* blas) {
    collector.add(name, [&] {
      const tensor::Blas& library = available(blas, dtype);
      at::Tensor sums = at::empty({x.size(0), weight.size(0)}, x.options().dtype(at::kFloat));
      return [=, &library] {
        if (bias.defined()) sums.copy_(bias.expand_as(sums));
        library.multiply(x, weight.t(), bias.defined() ? 1.0f : 0.0f, sums);
        return sums.to(dtype);
      };
    });
  };
  if (dtype != at::kFloat) {
    add_blas("mkl", tensor::Blas::mkl());
    collector.add("float32", [&] {
      return [=] { return mixed_product(tensor::MixedMeans::kFloat32, x, weight, bias); };
    });
  }
  add_blas("openblas", tensor::Blas::openblas());
  return collector.take();
}

DenseProducts dense_gradient_products(const at::Tensor& dz, const at::Tensor& x,
                                      at::Tensor& gradient) {
  const at::ScalarType dtype = x.scalar_type();
  const auto add = [sum = gradient](const at::Tensor& product) {
    at::Tensor out = sum;
    tensor::accumulate(product, out);
    return out;
  };
  const auto aten = [=] {
    return dtype == at::kFloat ? gradient.addmm_(dz.t(), x) : add(at::mm(dz.t(), x));
  };
  gradient.zero_();
  Collector collector(aten().clone(), [&] { gradient.zero_(); });
  collector.add("aten", [&] { return aten; });
  collector.add("onednn",
                [&] { return [=] { return add(tensor::onednn_linear(dz.t(), x.t(), {})); }; });
  const auto add_blas = [&](const char* name, const tensor::Blas* blas) {
    collector.add(name, [&] {
      const tensor::Blas& library = available(blas, dtype);
      return [=, &library] {
        library.multiply(dz.t(), x, /*beta=*/1.0f, gradient);
        return gradient;
      };
    });
  };
  if (dtype != at::kFloat) {
    add_blas("mkl", tensor::Blas::mkl());
    collector.add("float32", [&] {
      return [=, sum = gradient]() mutable {
        add_mixed_weight_gradient(tensor::MixedMeans::kFloat32, dz, x, sum);
        return sum;
      };
    });
  }
  add_blas("openblas", tensor::Blas::openblas());
  return collector.take();
}

}  // namespace twofour::cli
