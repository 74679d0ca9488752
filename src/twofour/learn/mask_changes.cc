#include "twofour/learn/mask_changes.h"

#include <atomic>

#include "twofour/base/parallel.h"

namespace twofour::learn {
namespace {

constexpr int64_t kGrain = 1 << 16;  // groups

bool bit_at(const uint8_t* bits, int64_t i) { return bits[i / 8] >> (7 - i % 8) & 1; }

bool differs(const uint8_t* a, const uint8_t* b, int64_t first, int64_t count) {
  for (int64_t i = first; i < first + count; ++i) {
    if (bit_at(a, i) != bit_at(b, i)) return true;
  }
  return false;
}

// Of groups of four, of which each byte holds two.
int64_t changed_nibbles(const uint8_t* a, const uint8_t* b, int64_t first, int64_t last) {
  int64_t changed = 0;
  for (int64_t group = first; group < last; ++group) {
    const int difference = a[group / 2] ^ b[group / 2];
    changed += (difference >> (group % 2 == 0 ? 4 : 0) & 15) != 0;
  }
  return changed;
}

}  // namespace

int64_t changed_groups(const at::Tensor& a, const at::Tensor& b, int64_t group, int64_t groups) {
  const auto* left = a.const_data_ptr<uint8_t>();
  const auto* right = b.const_data_ptr<uint8_t>();
  std::atomic<int64_t> total = 0;
  parallel_for(0, groups, kGrain, [&](int64_t first, int64_t last) {
    int64_t changed = 0;
    if (group == 4) {
      changed = changed_nibbles(left, right, first, last);
    } else {
      for (int64_t i = first; i < last; ++i) changed += differs(left, right, i * group, group);
    }
    total += changed;
  });
  return total;
}

}  // namespace twofour::learn
