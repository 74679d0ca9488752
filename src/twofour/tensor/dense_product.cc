#include "twofour/tensor/dense_product.h"

#include <algorithm>

#include <ATen/ops/addmm.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>

#include "twofour/tensor/accumulate.h"
#include "twofour/tensor/mixed_product.h"
#include "twofour/tensor/onednn.h"

namespace twofour::tensor {
namespace {

constexpr int64_t kLeastWork = int64_t{1} << 20;  // fewer multiply-adds need no choice
constexpr int64_t kTimedWork = int64_t{1} << 29;  // largest timed product, approximately
constexpr int64_t kTimedTokens = 512, kLeastTimedRows = 512;

std::optional<MixedMeans> mixed_means(Implementation how) {
  if (how == Implementation::kMkl) return MixedMeans::kMkl;
  if (how == Implementation::kFloat32) return MixedMeans::kFloat32;
  return {};
}

bool is_worth_a_choice(const at::Tensor& x, int64_t tokens, int64_t in, int64_t out) {
  return x.is_cpu() && tokens > 1 && tokens * in * out >= kLeastWork;
}

// The timed part of a product. The time per token and per row hardly depends on their number.
struct TimedPart {
  TimedPart(int64_t all_tokens, int64_t in, int64_t out)
      : tokens(std::min(all_tokens, kTimedTokens)),
        rows(std::min(out, std::max(kLeastTimedRows, kTimedWork / (tokens * in)))) {}

  int64_t tokens, rows;
};

at::Tensor part_of(const at::Tensor& matrix, int64_t rows, int64_t columns) {
  return matrix.narrow(0, 0, rows).narrow(1, 0, columns).contiguous();
}

template <class Run>
std::vector<Candidate> dense_candidates(at::ScalarType dtype, Run run) {
  std::vector<Candidate> candidates;
  for (const Implementation how : dense_implementations(dtype)) {
    candidates.push_back({how, [run, how]() mutable { run(how); }});
  }
  return candidates;
}

}  // namespace

std::vector<Implementation> dense_implementations(at::ScalarType dtype) {
  std::vector<Implementation> all;
  if (has_onednn(dtype)) all.push_back(Implementation::kOneDnn);
  if (can_multiply(MixedMeans::kMkl, dtype)) all.push_back(Implementation::kMkl);
  if (can_multiply(MixedMeans::kFloat32, dtype)) all.push_back(Implementation::kFloat32);
  all.push_back(Implementation::kDense);
  return all;
}

at::Tensor dense_product(Implementation how, const at::Tensor& x, const at::Tensor& weight,
                         const at::Tensor& bias) {
  if (how == Implementation::kOneDnn) return onednn_linear(x, weight, bias);
  if (const auto means = mixed_means(how)) return mixed_product(*means, x, weight, bias);
  return bias.defined() ? at::addmm(bias, x, weight.t()) : at::mm(x, weight.t());
}

at::Tensor dense_input_gradient(Implementation how, const at::Tensor& dz,
                                const at::Tensor& weight) {
  if (how == Implementation::kOneDnn) return onednn_linear(dz, weight.t(), {});
  if (const auto means = mixed_means(how)) return mixed_input_gradient(*means, dz, weight);
  return at::mm(dz, weight);
}

void add_dense_weight_gradient(Implementation how, const at::Tensor& dz, const at::Tensor& x,
                               at::Tensor& gradient) {
  if (how == Implementation::kOneDnn) {
    accumulate(onednn_linear(dz.t(), x.t(), {}), gradient);
  } else if (const auto means = mixed_means(how)) {
    add_mixed_weight_gradient(*means, dz, x, gradient);
  } else if (dz.scalar_type() == gradient.scalar_type()) {
    gradient.addmm_(dz.t(), x);
  } else {
    accumulate(at::mm(dz.t(), x), gradient);
  }
}

at::Tensor fastest_dense_product(const at::Tensor& x, const at::Tensor& weight,
                                 const at::Tensor& bias) {
  const int64_t tokens = x.size(0), out = weight.size(0), in = weight.size(1);
  Implementation how = Implementation::kDense;
  if (is_worth_a_choice(x, tokens, in, out)) {
    how = choose({Product::kPlainForward, tokens, in, out, x.scalar_type()}, [&] {
      const TimedPart timed(tokens, in, out);
      const at::Tensor part = x.narrow(0, 0, timed.tokens), w = weight.narrow(0, 0, timed.rows);
      const at::Tensor b = bias.defined() ? bias.narrow(0, 0, timed.rows) : bias;
      return dense_candidates(x.scalar_type(),
                              [=](Implementation one) { dense_product(one, part, w, b); });
    });
  }
  return dense_product(how, x, weight, bias);
}

at::Tensor fastest_dense_input_gradient(const at::Tensor& dz, const at::Tensor& weight) {
  const int64_t tokens = dz.size(0), out = weight.size(0), in = weight.size(1);
  Implementation how = Implementation::kDense;
  if (is_worth_a_choice(dz, tokens, in, out)) {
    how = choose({Product::kPlainInputGradient, tokens, in, out, dz.scalar_type()}, [&] {
      const TimedPart timed(tokens, in, out);
      const at::Tensor part = part_of(dz, timed.tokens, timed.rows);
      const at::Tensor w = weight.narrow(0, 0, timed.rows);
      return dense_candidates(dz.scalar_type(),
                              [=](Implementation one) { dense_input_gradient(one, part, w); });
    });
  }
  return dense_input_gradient(how, dz, weight);
}

void add_fastest_dense_weight_gradient(const at::Tensor& dz, const at::Tensor& x,
                                       at::Tensor& gradient) {
  const int64_t tokens = x.size(0), out = gradient.size(0), in = gradient.size(1);
  Implementation how = Implementation::kDense;
  if (is_worth_a_choice(dz, tokens, in, out)) {
    how = choose({Product::kPlainWeightGradient, tokens, in, out, dz.scalar_type()}, [&] {
      const TimedPart timed(tokens, in, out);
      const at::Tensor part = part_of(dz, timed.tokens, timed.rows);
      const at::Tensor y = x.narrow(0, 0, timed.tokens);
      at::Tensor scratch = at::zeros({timed.rows, in}, gradient.options());
      return dense_candidates(dz.scalar_type(), [=](Implementation one) mutable {
        add_dense_weight_gradient(one, part, y, scratch);
      });
    });
  }
  add_dense_weight_gradient(how, dz, x, gradient);
}

}  // namespace twofour::tensor
