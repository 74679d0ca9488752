#include "twofour/sparse/scratch_forms.h"

#include <algorithm>
#include <list>
#include <mutex>
#include <tuple>

#include "twofour/base/fork.h"

namespace twofour::sparse {
namespace {

constexpr size_t kMost = 4;
using Key = std::tuple<at::ScalarType, int64_t, int64_t, Along>;

struct Kept {
  Key key;
  std::unique_ptr<Weight24> forms;
};

// The last that were given back first. Never destroyed: a thread may still run at exit.
std::list<Kept>& pool = *new std::list<Kept>;
ForkMutex& list_mutex =
    *new ForkMutex;  // of the list; nothing is computed or freed while it is held

}  // namespace

ScratchForms::ScratchForms(const at::Tensor& weight, Along along)
    : key_(weight.scalar_type(), weight.size(0), weight.size(1), along) {
  std::list<Kept> taken;
  {
    const std::lock_guard lock(list_mutex);
    const auto found = std::ranges::find(pool, key_, &Kept::key);
    if (found != pool.end()) taken.splice(taken.begin(), pool, found);
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
  std::list<Kept> back, dropped;
  back.push_back({key_, std::move(forms_)});
  const std::lock_guard lock(list_mutex);
  pool.splice(pool.begin(), back);
  if (pool.size() > kMost) dropped.splice(dropped.begin(), pool, std::prev(pool.end()));
}

}  // namespace twofour::sparse
