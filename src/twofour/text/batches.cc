#include "twofour/text/batches.h"

#include <algorithm>
#include <bit>
#include <vector>

#include "twofour/base/error.h"
#include "twofour/base/random.h"

namespace twofour::text {
namespace {

constexpr uint32_t kRounds = 6;

RandomStream epoch_stream(uint64_t seed, uint32_t epoch, uint32_t purpose) {
  return {seed, epoch, purpose, RandomStream::kDataOrder};
}

}  // namespace

int64_t permuted(int64_t index, int64_t size, uint64_t seed, uint32_t epoch) {
  const int half_bits =
      (std::bit_width(static_cast<uint64_t>(std::max<int64_t>(size - 1, 1))) + 1) / 2;
  const uint64_t half_mask = (uint64_t{1} << half_bits) - 1;
  auto value = static_cast<uint64_t>(index);
  do {
    uint64_t left = value >> half_bits, right = value & half_mask;
    for (uint32_t round = 0; round < kRounds; ++round) {
      const PhiloxBlock bits = epoch_stream(seed, epoch, round)(static_cast<uint32_t>(right));
      const uint64_t mixed = left ^ (bits[0] & half_mask);
      left = right;
      right = mixed;
    }
    value = left << half_bits | right;
  } while (value >= static_cast<uint64_t>(size));
  return static_cast<int64_t>(value);
}

Batches::Batches(const TokenFile& file, int64_t context, uint64_t seed)
    : file_(file), context_(context), windows_((file.size() - 1) / context), seed_(seed) {
  if (windows_ < 1) {
    fail("a context of {} needs at least {} tokens, but \"{}\" holds {}: use a shorter --context",
         context, context + 1, file.path().string(), file.size());
  }
}

int64_t Batches::window_start(int64_t position) const {
  const auto epoch = static_cast<uint32_t>(position / windows_);
  const int64_t spare = file_.size() - 1 - windows_ * context_;
  const PhiloxBlock bits = epoch_stream(seed_, epoch, kRounds)(0);
  const int64_t offset = static_cast<int64_t>(bits[0]) % (spare + 1);
  return offset + context_ * permuted(position % windows_, windows_, seed_, epoch);
}

void Batches::read(int64_t position, std::span<int64_t> inputs, std::span<int64_t> targets) const {
  std::vector<int64_t> window(static_cast<size_t>(context_ + 1));
  const auto context = static_cast<size_t>(context_);
  for (size_t row = 0; (row + 1) * context <= inputs.size(); ++row) {
    file_.read(window_start(position + static_cast<int64_t>(row)), window);
    std::copy(window.begin(), window.end() - 1,
              inputs.begin() + static_cast<int64_t>(row * context));
    std::copy(window.begin() + 1, window.end(),
              targets.begin() + static_cast<int64_t>(row * context));
  }
}

}  // namespace twofour::text
