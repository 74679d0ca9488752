#include "twofour/text/bpe_merges.h"

#include <bit>
#include <functional>
#include <limits>
#include <queue>

namespace twofour::text {
namespace {

constexpr size_t kShortWord = 48;  // symbols up to which scanning beats a heap
constexpr int32_t kNoRank = std::numeric_limits<int32_t>::max();

uint64_t pair_key(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

size_t scatter(uint64_t key) { return static_cast<size_t>((key * 0x9E3779B97F4A7C15u) >> 20); }

}  // namespace

BpeMerges::BpeMerges(size_t count) : slots_(std::bit_ceil(2 * count + 2)) {}

void BpeMerges::insert(int32_t left, int32_t right, int32_t rank, int32_t result) {
  const uint64_t key = pair_key(left, right);
  size_t at = scatter(key) & (slots_.size() - 1);
  while (slots_[at].pair != ~uint64_t{0} && slots_[at].pair != key) {
    at = (at + 1) & (slots_.size() - 1);
  }
  slots_[at] = {key, rank, result};
}

const BpeMerges::Slot* BpeMerges::find(int32_t left, int32_t right) const {
  const uint64_t key = pair_key(left, right);
  for (size_t at = scatter(key) & (slots_.size() - 1);; at = (at + 1) & (slots_.size() - 1)) {
    if (slots_[at].pair == key) return &slots_[at];
    if (slots_[at].pair == ~uint64_t{0}) return nullptr;
  }
}

void BpeMerges::merge(std::vector<int32_t>& symbols) const {
  symbols.size() <= kShortWord ? merge_short(symbols) : merge_long(symbols);
}

void BpeMerges::merge_short(std::vector<int32_t>& symbols) const {
  size_t count = symbols.size();
  const Slot* found[kShortWord];
  const auto look = [&](size_t i) { found[i] = find(symbols[i], symbols[i + 1]); };
  for (size_t i = 0; i + 1 < count; ++i) look(i);
  while (count > 1) {
    size_t best = 0;
    int32_t rank = kNoRank;
    for (size_t i = 0; i + 1 < count; ++i) {
      if (found[i] && found[i]->rank < rank) {
        rank = found[i]->rank;
        best = i;
      }
    }
    if (rank == kNoRank) break;
    symbols[best] = found[best]->result;
    for (size_t i = best + 1; i + 1 < count; ++i) {
      symbols[i] = symbols[i + 1];
      found[i] = i + 2 < count ? found[i + 1] : nullptr;
    }
    --count;
    if (best > 0) look(best - 1);
    if (best + 1 < count) look(best);
  }
  symbols.resize(count);
}

// The same with a heap over a linked list, for words such as a megabyte of one letter.
void BpeMerges::merge_long(std::vector<int32_t>& symbols) const {
  struct Node {
    int32_t symbol;
    int32_t previous, next;  // -1 at the ends
  };
  struct Candidate {
    int32_t rank, at, left, right, result;
    bool operator>(const Candidate& other) const {
      return std::pair(rank, at) > std::pair(other.rank, other.at);
    }
  };
  const auto count = static_cast<int32_t>(symbols.size());
  std::vector<Node> nodes(symbols.size());
  for (int32_t i = 0; i < count; ++i) {
    nodes[static_cast<size_t>(i)] = {symbols[static_cast<size_t>(i)], i - 1,
                                     i + 1 < count ? i + 1 : -1};
  }
  const auto node = [&](int32_t i) -> Node& { return nodes[static_cast<size_t>(i)]; };
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto offer = [&](int32_t at) {
    if (at < 0 || node(at).next < 0) return;
    const int32_t left = node(at).symbol, right = node(node(at).next).symbol;
    if (const Slot* slot = find(left, right)) {
      queue.push({slot->rank, at, left, right, slot->result});
    }
  };
  for (int32_t i = 0; i + 1 < count; ++i) offer(i);
  while (!queue.empty()) {
    const Candidate merge = queue.top();
    queue.pop();
    Node& left = node(merge.at);
    // A node that was merged away has the symbol -1; one that changed no longer fits the candidate.
    if (left.symbol != merge.left || left.next < 0 || node(left.next).symbol != merge.right)
      continue;
    Node& right = node(left.next);
    left.symbol = merge.result;
    left.next = right.next;
    right.symbol = -1;
    if (left.next >= 0) node(left.next).previous = merge.at;
    offer(left.previous);
    offer(merge.at);
  }
  symbols.clear();
  for (int32_t at = 0; at >= 0; at = node(at).next) symbols.push_back(node(at).symbol);
}

}  // namespace twofour::text
