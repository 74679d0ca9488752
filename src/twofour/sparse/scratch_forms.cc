#include "twofour/sparse/scratch_forms.h"

#include <algorithm>
#include <list>
#include <mutex>
#include <tuple>

#include "twofour/base/fork.h"

namespace twofour::sparse {
namespace {

constexpr size_t kMostShapes = 4;
using ShapeKey = std::tuple<at::ScalarType, int64_t, int64_t, Along>;

struct KeptForms {
  ShapeKey key;
  std::unique_ptr<Weight24> forms;
};

// The most recently returned forms, and the lock of the list, which is never held during
// computation or deallocation. Never destroyed, because a thread may still run at exit.
std::list<KeptForms>& scratch_pool = *new std::list<KeptForms>;
ForkMutex& pool_mutex = *new ForkMutex;

}  // namespace

ScratchForms::ScratchForms(const at::Tensor& weight, Along along)
    : key_(weight.scalar_type(), weight.size(0), weight.size(1), along) {
  std::list<KeptForms> taken;
  {
    const std::lock_guard lock(pool_mutex);
    const auto found = std::ranges::find(scratch_pool, key_, &KeptForms::key);
    if (found != scratch_pool.end()) taken.splice(taken.begin(), scratch_pool, found);
  }
  if (taken.empty()) {
    forms_ = std::make_unique<Weight24>(along, /*in_training=*/true,
                                        /*for_one_product=*/along == Along::kRows);
  } else {
    forms_ = std::move(taken.front().forms);
    forms_->changed();
  }
}

ScratchForms::~ScratchForms() {
  std::list<KeptForms> back, dropped;
  back.push_back({key_, std::move(forms_)});
  const std::lock_guard lock(pool_mutex);
  scratch_pool.splice(scratch_pool.begin(), back);
  if (scratch_pool.size() <= kMostShapes) return;
  dropped.splice(dropped.begin(), scratch_pool, std::prev(scratch_pool.end()));
}

}  // namespace twofour::sparse
