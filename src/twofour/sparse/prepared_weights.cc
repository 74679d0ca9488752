#include "twofour/sparse/prepared_weights.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>

#include <c10/core/StorageImpl.h>
#include <c10/util/intrusive_ptr.h>

namespace twofour::sparse {
namespace {

constexpr size_t kMost = 512;
constexpr int64_t kSampled = 64;  // groups

// Of whole groups, spread evenly over the matrix: single entries could all be zeros.
uint64_t sample_of(const at::Tensor& weight) {
  const auto* bytes = static_cast<const std::byte*>(weight.const_data_ptr());
  const auto size = static_cast<int64_t>(weight.element_size());
  const int64_t columns = weight.size(1), groups = weight.numel() / 4;
  const int64_t sampled = std::min(groups, kSampled);
  uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a, an entry a step
  for (int64_t i = 0; i < 4 * sampled; ++i) {
    const int64_t at = i / 4 * groups / sampled * 4 + i % 4;
    const int64_t entry = at / columns * weight.stride(0) + at % columns * weight.stride(1);
    uint64_t bits = 0;
    std::memcpy(&bits, bytes + entry * size, static_cast<size_t>(size));
    hash = (hash ^ bits) * 0x100000001b3u;
  }
  return hash;
}

struct PreparedWeight {
  explicit PreparedWeight(const at::Tensor& weight)
      : storage(weight.storage().getWeakStorageImpl()) {}

  // Forgets the forms of other values.
  void follow(const at::Tensor& weight, bool in_training) {
    const std::pair now{weight._version(), sample_of(weight)};
    if (!forms || forms->in_training() != in_training) {
      forms = c10::make_intrusive<Weight24>(Along::kBothSides, in_training);
    } else if (now != values) {
      forms->changed();
    }
    values = now;
  }

  c10::weak_intrusive_ptr<c10::StorageImpl> storage;
  uint64_t last_use = 0;
  std::mutex mutex;  // of what follows
  c10::intrusive_ptr<Weight24> forms;
  std::pair<int64_t, uint64_t> values;  // what tells them from others: the version, a sample
};

class PreparedWeights {
 public:
  std::shared_ptr<PreparedWeight> find(const at::Tensor& weight) {
    const Key key = {weight.storage().unsafeGetStorageImpl(),
                     weight.const_data_ptr(),
                     weight.size(0),
                     weight.size(1),
                     weight.stride(0),
                     weight.stride(1),
                     weight.scalar_type()};
    const std::lock_guard lock(mutex_);
    auto found = weights_.find(key);
    if (found == weights_.end() || found->second->storage.expired()) {
      drop_unused();
      found = weights_.insert_or_assign(key, std::make_shared<PreparedWeight>(weight)).first;
    }
    found->second->last_use = ++uses_;
    return found->second;
  }

  int64_t count() {
    const std::lock_guard lock(mutex_);
    drop_unused();
    return static_cast<int64_t>(weights_.size());
  }

 private:
  using Key = std::tuple<const c10::StorageImpl*, const void*, int64_t, int64_t, int64_t, int64_t,
                         at::ScalarType>;

  void drop_unused() {
    std::erase_if(weights_, [](const auto& each) { return each.second->storage.expired(); });
    if (weights_.size() < kMost) return;
    weights_.erase(std::min_element(
        weights_.begin(), weights_.end(),
        [](const auto& a, const auto& b) { return a.second->last_use < b.second->last_use; }));
  }

  std::mutex mutex_;
  std::map<Key, std::shared_ptr<PreparedWeight>> weights_;
  uint64_t uses_ = 0;
};

// Never destroyed: at exit Python may have torn down what a tensor's memory needs.
PreparedWeights& prepared_weights() {
  static auto& all = *new PreparedWeights;
  return all;
}

}  // namespace

at::Tensor with_prepared_weight(const at::Tensor& weight, bool in_training,
                                const std::function<at::Tensor(Weight24&)>& product) {
  if (weight.is_inference()) {  // its changes are not counted
    const auto forms = c10::make_intrusive<Weight24>(Along::kBothSides, in_training);
    return product(*forms);
  }
  const std::shared_ptr<PreparedWeight> prepared = prepared_weights().find(weight);
  const std::lock_guard lock(prepared->mutex);
  prepared->follow(weight, in_training);
  return product(*prepared->forms);
}

int64_t prepared_weight_count() { return prepared_weights().count(); }

}  // namespace twofour::sparse
