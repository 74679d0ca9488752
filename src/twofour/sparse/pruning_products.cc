#include "twofour/sparse/pruning_products.h"

#include <algorithm>
#include <atomic>

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/addmm_cpu_dispatch.h>

#include "twofour/base/error.h"
#include "twofour/base/parallel.h"
#include "twofour/kernels/types.h"

namespace twofour::sparse {
namespace {

constexpr int64_t kEntriesOfCheck = 1 << 16;

}  // namespace

void for_chunks(int64_t rows, const std::function<void(int64_t first, int64_t last)>& fn) {
  const int64_t chunks = (rows + kChunkRows - 1) / kChunkRows;
  // A single range would run outside the parallel region, where the BLAS has all threads.
  parallel_for(0, std::max<int64_t>(chunks, 2), 1, [&](int64_t first, int64_t last) {
    for (int64_t chunk = first; chunk < std::min(last, chunks); ++chunk) {
      fn(chunk * kChunkRows, std::min(rows, (chunk + 1) * kChunkRows));
    }
  });
}

void multiply(const at::Tensor& a, const at::Tensor& b, double alpha, double beta, at::Tensor c) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  at::cpu::addmm_out(c, c, a, b, beta, alpha);
}

at::Tensor floats_of(const at::Tensor& matrix, const char* what) {
  if (matrix.dim() != 2) fail("{} must be a matrix, not of {} dimensions", what, matrix.dim());
  if (!at::isFloatingType(matrix.scalar_type())) {
    fail("{} must have floating-point entries, not {}", what, c10::toString(matrix.scalar_type()));
  }
  return matrix.detach().to(at::kFloat).contiguous();
}

void check_gram(const at::Tensor& gram, int64_t columns) {
  if (gram.dim() == 2 && gram.size(0) == columns && gram.size(1) == columns &&
      at::isFloatingType(gram.scalar_type())) {
    return;
  }
  fail("the Hessian of {} inputs must be a floating-point matrix [{}, {}]", columns, columns,
       columns);
}

bool is_finite(const at::Tensor& matrix) {
  const float* const values = matrix.const_data_ptr<float>();
  std::atomic<bool> finite{true};
  parallel_for(0, matrix.numel(), kEntriesOfCheck, [&](int64_t first, int64_t last) {
    uint32_t largest = 0;
    for (int64_t i = first; i < last; ++i) {
      largest = std::max(largest, kernels::bits_of(values[i]) & 0x7fffffffu);
    }
    if (largest >= 0x7f800000u) finite = false;
  });
  return finite;
}

}  // namespace twofour::sparse
