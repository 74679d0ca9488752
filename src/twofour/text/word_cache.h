// Caches the ids of words, because text repeats itself.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include <xxhash.h>

namespace twofour::text {

/// A direct-mapped table of short words, one cache line each. For one tokenizer and one thread.
class WordCache {
 public:
  WordCache() : entries_(kEntries) {}

  /// Appends the ids of `word` if they are known.
  bool find(std::string_view word, std::vector<int32_t>& ids) const {
    if (word.size() > sizeof(Entry::word)) return false;
    const Entry& entry = entries_[index_of(word)];
    if (entry.length != word.size() || std::memcmp(entry.word, word.data(), word.size()) != 0) {
      return false;
    }
    ids.insert(ids.end(), entry.ids, entry.ids + entry.count);
    return true;
  }

  void add(std::string_view word, std::span<const int32_t> ids) {
    if (word.size() > sizeof(Entry::word) || ids.size() > std::size(Entry{}.ids)) return;
    Entry& entry = entries_[index_of(word)];
    entry.length = static_cast<uint8_t>(word.size());
    entry.count = static_cast<uint8_t>(ids.size());
    std::memcpy(entry.word, word.data(), word.size());
    std::memcpy(entry.ids, ids.data(), ids.size_bytes());
  }

 private:
  static constexpr size_t kEntries = 1 << 15;
  struct alignas(64) Entry {
    uint8_t length = 0, count = 0;
    char word[22];
    int32_t ids[10];
  };
  static size_t index_of(std::string_view word) {
    return XXH3_64bits(word.data(), word.size()) & (kEntries - 1);
  }
  std::vector<Entry> entries_;
};

}  // namespace twofour::text
