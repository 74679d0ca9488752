#include "twofour/sparse/prepared_weight.h"

#include <mutex>
#include <utility>

#include "twofour/base/error.h"
#include "twofour/base/fork.h"
#include "twofour/sparse/linear24.h"

namespace twofour::sparse {
namespace {

// For the values_ of all weights. It is only held to copy or replace two pointers.
ForkMutex& values_mutex = *new ForkMutex;

}  // namespace

PreparedWeight::PreparedWeight(const at::Tensor& weight) : values_(copy_of(weight)) {}

void PreparedWeight::update(const at::Tensor& weight) {
  Values made = copy_of(weight);
  const std::lock_guard lock(values_mutex);
  std::swap(values_, made);
}

at::Tensor PreparedWeight::dense() const { return values().dense; }

at::Tensor PreparedWeight::multiply(const at::Tensor& x, const at::Tensor& bias) const {
  const Values current = values();
  const auto forms = c10::make_intrusive<Weight24>(*current.forms);
  at::Tensor product = forward_product(x, current.dense, bias, forms.get());
  // Several new forms mean that the shape was measured. The next call makes the one that it needs.
  if (forms->count() == current.forms->count() + 1) keep(current, forms);
  return product;
}

int PreparedWeight::count() const { return values().forms->count(); }

PreparedWeight::Values PreparedWeight::copy_of(const at::Tensor& weight) {
  if (!weight.is_cpu()) {
    fail("a prepared weight lies on the CPU, not on {}: use linear24 there", weight.device().str());
  }
  if (weight.dim() != 2) fail("a weight must be a matrix, not of {} dimensions", weight.dim());
  const at::Tensor dense = weight.detach().clone(at::MemoryFormat::Contiguous);
  check24(dense);
  return {dense, c10::make_intrusive<Weight24>(Along::kRows)};
}

PreparedWeight::Values PreparedWeight::values() const {
  const std::lock_guard lock(values_mutex);
  return values_;
}

void PreparedWeight::keep(const Values& of, c10::intrusive_ptr<const Weight24> forms) const {
  const std::lock_guard lock(values_mutex);
  if (values_.forms == of.forms) values_.forms.swap(forms);
}

}  // namespace twofour::sparse
