// The factor of a Hessian, by blocks from the last to the first. LAPACK factors the diagonal
// blocks. Its factorisation of the whole matrix would have bits that depend on the threads.
#include <algorithm>
#include <cmath>

#include <spdlog/spdlog.h>

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linalg_cholesky_ex.h>
#include <ATen/ops/linalg_solve_triangular.h>
#include <ATen/ops/zeros.h>

#include "twofour/base/error.h"
#include "twofour/sparse/pruning.h"
#include "twofour/sparse/pruning_products.h"

namespace twofour::sparse {
namespace {

constexpr int64_t kFactorBlock = 128;
constexpr int kMostFactorisations = 10;

// The upper triangular R with block = R Rᵀ, or nothing. Reversing rows and columns turns it into
// the lower triangular factor of LAPACK.
at::Tensor upper_factor(const at::Tensor& block) {
  at::Tensor factor;
  bool is_definite = false;
  // In a chunk, where LAPACK has one thread.
  for_chunks(1, [&](int64_t, int64_t) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const auto [lower, info] = at::linalg_cholesky_ex(block.flip({0, 1}));
    is_definite = info.item<int>() == 0;
    factor = lower.flip({0, 1});
  });
  return is_definite ? factor : at::Tensor();
}

// Replaces the upper triangle of r, a symmetric matrix, by its factor; false if it is not positive
// definite. The lower triangle becomes 0.
bool factor_in_place(const at::Tensor& r) {
  const int64_t size = r.size(0);
  for (int64_t end = size; end > 0;) {
    const int64_t begin = std::max<int64_t>(0, (end - 1) / kFactorBlock * kFactorBlock);
    const at::Tensor later = r.slice(0, begin, end).slice(1, end, size).t();
    for_chunks(end, [&](int64_t first, int64_t last) {
      if (end == size) return;
      const at::Tensor rows = r.slice(0, first, last);
      multiply(rows.slice(1, end, size), later, -1, 1, rows.slice(1, begin, end));
    });
    const at::Tensor own = r.slice(0, begin, end).slice(1, begin, end);
    const at::Tensor factor = upper_factor(own);
    if (!factor.defined()) return false;
    own.copy_(factor);
    for_chunks(begin, [&](int64_t first, int64_t last) {
      const at::AutoDispatchBelowADInplaceOrView guard;
      const at::Tensor rows = r.slice(0, first, last).slice(1, begin, end);
      rows.copy_(at::linalg_solve_triangular(factor.t(), rows, /*upper=*/false, /*left=*/false));
    });
    r.slice(0, begin, end).slice(1, 0, begin).zero_();
    end = begin;
  }
  return true;
}

}  // namespace

HessianFactor factor_hessian(const at::Tensor& hessian, double damping, const std::string& name) {
  check_gram(hessian, hessian.dim() > 0 ? hessian.size(0) : 0);
  if (!(damping >= 0) || std::isinf(damping)) {
    fail("{}: the damping is {}, but must be a finite number of at least 0", name, damping);
  }
  const at::AutoDispatchBelowADInplaceOrView guard;
  HessianFactor factor;
  factor.r = at::empty(hessian.sizes(), at::TensorOptions().dtype(at::kFloat));
  factor.damping = damping;
  for (int attempt = 1;; ++attempt) {
    factor.r.copy_(hessian);
    if (!is_finite(factor.r)) fail("{}: the Hessian is not finite", name);
    at::Tensor diagonal = factor.r.diagonal();
    if (diagonal.lt(0).any().item<bool>()) {
      fail("{}: the Hessian has a negative entry on its diagonal", name);
    }
    factor.is_dead = diagonal.eq(0);
    diagonal.masked_fill_(factor.is_dead, 1);
    const double mean = diagonal.mean(at::kDouble).item<double>();
    diagonal.add_(factor.damping * mean);
    if (factor_in_place(factor.r)) return factor;
    if (attempt == kMostFactorisations) {
      fail("{}: the Hessian is not positive definite, even with damping {:g}", name,
           factor.damping);
    }
    const double more = std::max(1e-6, 10 * factor.damping);
    spdlog::warn("{}: the Hessian with damping {:g} is not positive definite: {:g} is tried", name,
                 factor.damping, more);
    factor.damping = more;
  }
}

}  // namespace twofour::sparse
