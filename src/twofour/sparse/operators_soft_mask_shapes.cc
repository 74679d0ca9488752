// The checks of the arguments of learned masks, and their uninitialised results.
#include <cmath>
#include <vector>

#include <ATen/ops/empty.h>

#include "twofour/base/error.h"
#include "twofour/kernels/soft_mask/candidates.h"
#include "twofour/sparse/operators_shapes.h"

namespace twofour::sparse::operators {
namespace {

std::string sizes_of(const at::Tensor& tensor) {
  std::string text = "[";
  for (const c10::SymInt& size : tensor.sym_sizes()) {
    const int64_t number = size.guard_int(__FILE__, __LINE__);
    text += fmt::format("{}{}", text.size() > 1 ? ", " : "", number);
  }
  return text + "]";
}

// The shape of `tensor` with another last dimension.
std::vector<c10::SymInt> sizes_with_last(const at::Tensor& tensor, int64_t last) {
  std::vector<c10::SymInt> sizes = tensor.sym_sizes().vec();
  sizes.back() = last;
  return sizes;
}

void check_second(const char* what, const at::Tensor& tensor, const at::Tensor& logits,
                  const std::vector<c10::SymInt>& sizes) {
  if (tensor.device() != logits.device()) {
    fail("{} is on {}, but the tensor of logits on {}", what, tensor.device().str(),
         logits.device().str());
  }
  if (tensor.sym_sizes() == c10::SymIntArrayRef(sizes)) return;
  fail("{} {} does not fit logits {}", what, sizes_of(tensor), sizes_of(logits));
}

void check_positive(const char* name, double value) {
  const auto number = static_cast<float>(value);
  if (number > 0 && std::isfinite(number) && std::isfinite(1 / number)) return;
  fail("{} is {}, but must be a finite number above 0", name, value);
}

void check_logits(const at::Tensor& logits) {
  check_floating("the tensor of logits", logits);
  if (logits.dim() == 0) fail("logits must be [.., candidates], not a single number");
}

}  // namespace

namespace shapes {

at::Tensor soft_mask(const at::Tensor& logits, double kappa, double tau,
                     const std::optional<at::Tensor>& gumbel, int64_t seed, c10::SymInt step,
                     c10::SymInt micro_batch, int64_t tensor, int64_t kept, int64_t group, bool) {
  check_logits(logits);
  check_positive("kappa", kappa);
  check_positive("tau", tau);
  const kernels::Candidates candidates(kept, group);
  if (logits.sym_size(-1) != candidates.count()) {
    fail("logits {} are not [.., {}], the number of masks of {}:{}", sizes_of(logits),
         candidates.count(), kept, group);
  }
  if (gumbel && gumbel->defined()) {
    check_floating("the tensor of Gumbel numbers", *gumbel);
    check_second("the tensor of Gumbel numbers", *gumbel, logits, logits.sym_sizes().vec());
  } else if (seed >= 0) {
    stream_of(seed, step, micro_batch, tensor);
  }
  return at::empty_symint(sizes_with_last(logits, group), logits.options());
}

at::Tensor soft_mask_gradient(const at::Tensor& dsoft, const at::Tensor& logits, double kappa,
                              double tau, const std::optional<at::Tensor>& gumbel, int64_t seed,
                              c10::SymInt step, c10::SymInt micro_batch, int64_t tensor,
                              int64_t kept, int64_t group, bool hard) {
  soft_mask(logits, kappa, tau, gumbel, seed, step, micro_batch, tensor, kept, group, hard);
  check_floating("dsoft", dsoft);
  check_second("dsoft", dsoft, logits, sizes_with_last(logits, group));
  return at::empty_symint(logits.sym_sizes(), logits.options());
}

at::Tensor add_prior(const at::Tensor& logits, const at::Tensor& mask, double strength) {
  check_logits(logits);
  check_mask(mask);
  if (mask.dim() == 0) fail("the mask must be [.., group], not a single number");
  if (!std::isfinite(strength)) fail("the strength is {}, but must be finite", strength);
  const int64_t group = mask.sym_size(-1).guard_int(__FILE__, __LINE__);
  check_second("the mask", mask, logits, sizes_with_last(logits, group));
  return at::empty_symint(logits.sym_sizes(), logits.options());
}

}  // namespace shapes
}  // namespace twofour::sparse::operators
