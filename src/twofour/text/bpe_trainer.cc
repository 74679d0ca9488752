#include "twofour/text/bpe_trainer.h"

#include <algorithm>
#include <numeric>
#include <queue>

#include "twofour/base/error.h"
#include "twofour/base/utf8.h"
#include "twofour/text/byte_level.h"
#include "twofour/text/splitter.h"
#include "twofour/text/tokenizer_files.h"

namespace twofour::text {
namespace {

struct Word {
  std::vector<int32_t> symbols;
  int64_t count;
};

struct Pair {
  int32_t left, right;
  bool operator==(const Pair&) const = default;
  auto operator<=>(const Pair&) const = default;
};

struct PairHash {
  size_t operator()(const Pair& pair) const {
    const auto key = static_cast<uint64_t>(static_cast<uint32_t>(pair.left)) << 32 |
                     static_cast<uint32_t>(pair.right);
    return static_cast<size_t>((key * 0x9E3779B97F4A7C15u) >> 16);
  }
};

struct Candidate {
  int64_t count;
  Pair pair;
  bool operator<(const Candidate& other) const {
    return count != other.count ? count < other.count : other.pair < pair;
  }
};

/// How often each pair of neighbours occurs, and in which words.
class PairTable {
 public:
  explicit PairTable(std::vector<Word> words) : words_(std::move(words)) {
    for (size_t i = 0; i < words_.size(); ++i) {
      const auto& symbols = words_[i].symbols;
      for (size_t k = 0; k + 1 < symbols.size(); ++k) change({symbols[k], symbols[k + 1]}, i, 1);
    }
    for (const auto& [pair, entry] : entries_) queue_.push({entry.count, pair});
  }

  /// The most frequent pair; count 0 when none is left.
  Candidate pop() {
    while (!queue_.empty()) {
      Candidate top = queue_.top();
      queue_.pop();
      const int64_t count = entries_[top.pair].count;
      if (top.count == count) return top;
      if (count > 0) queue_.push({count, top.pair});
    }
    return {0, {0, 0}};
  }

  void merge(const Pair& pair, int32_t result) {
    const std::vector<size_t> where = std::move(entries_[pair].words);
    entries_[pair] = {};
    created_.clear();
    for (const size_t i : where) merge_in_word(i, pair, result);
    std::sort(created_.begin(), created_.end());
    created_.erase(std::unique(created_.begin(), created_.end()), created_.end());
    for (const Pair& created : created_) {
      if (entries_[created].count > 0) queue_.push({entries_[created].count, created});
    }
  }

 private:
  struct Entry {
    int64_t count = 0;
    std::vector<size_t> words;
  };

  void change(const Pair& pair, size_t word, int64_t sign) {
    Entry& entry = entries_[pair];
    entry.count += sign * words_[word].count;
    if (sign > 0 && (entry.words.empty() || entry.words.back() != word))
      entry.words.push_back(word);
  }

  void merge_in_word(size_t index, const Pair& pair, int32_t result) {
    auto& symbols = words_[index].symbols;
    size_t out = 0;
    for (size_t in = 0; in < symbols.size(); ++in) {
      const bool matches =
          in + 1 < symbols.size() && symbols[in] == pair.left && symbols[in + 1] == pair.right;
      if (!matches) {
        symbols[out++] = symbols[in];
        continue;
      }
      if (out > 0) {
        change({symbols[out - 1], pair.left}, index, -1);
        create({symbols[out - 1], result}, index);
      }
      if (in + 2 < symbols.size()) {
        change({pair.right, symbols[in + 2]}, index, -1);
        create({result, symbols[in + 2]}, index);
      }
      symbols[out++] = result;
      ++in;
    }
    symbols.resize(out);
  }

  void create(const Pair& pair, size_t word) {
    change(pair, word, 1);
    created_.push_back(pair);
  }

  std::vector<Word> words_;
  std::unordered_map<Pair, Entry, PairHash> entries_;
  std::priority_queue<Candidate> queue_;
  std::vector<Pair> created_;
};

// The bytes in the order of the characters that stand for them.
std::array<int, 256> bytes_by_character() {
  std::array<int, 256> order;
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [](int a, int b) {
    return byte_characters()[static_cast<size_t>(a)] < byte_characters()[static_cast<size_t>(b)];
  });
  return order;
}

}  // namespace

BpeTrainer::BpeTrainer(int32_t vocabulary_size, const std::vector<std::string>& special_tokens)
    : vocabulary_size_(vocabulary_size) {
  const auto add_name = [&](const std::string& name) {
    const auto [known, is_new] = ids_.emplace(name, static_cast<int32_t>(names_.size()));
    if (is_new) names_.push_back(name);
    return known->second;
  };
  for (const std::string& token : special_tokens) {
    if (token.empty()) fail_usage("--special-token is empty, which no text can hold");
    if (find_invalid_utf8(token) != std::string::npos) {
      fail_usage("--special-token \"{}\" is not valid UTF-8", printable(token));
    }
    add_name(token);
  }
  special_tokens_ = names_.size();
  for (const int byte : bytes_by_character()) {
    byte_ids_[static_cast<size_t>(byte)] =
        add_name(bytes_to_characters(std::string(1, static_cast<char>(byte))));
  }
  if (vocabulary_size < static_cast<int32_t>(names_.size())) {
    fail_usage("--vocab-size {} is too small: the bytes and special tokens alone are {}",
               vocabulary_size, names_.size());
  }
}

void BpeTrainer::add(std::string_view text) {
  static const Splitter splitter{std::string(kGpt2Rule)};
  std::string word;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = splitter.piece_end(text, begin);
    word.assign(text.substr(begin, end - begin));
    ++counts_[word];
    begin = end;
  }
}

Tokenizer BpeTrainer::train(const std::function<void(int64_t)>& progress) {
  if (counts_.empty()) fail("the inputs hold no text to learn a vocabulary from");
  // Sorted, so that nothing depends on the order of a hash table.
  std::vector<std::pair<std::string, int64_t>> sorted(counts_.begin(), counts_.end());
  std::sort(sorted.begin(), sorted.end());
  std::vector<Word> words;
  for (const auto& [text, count] : sorted) {
    Word word{{}, count};
    for (const char byte : text) {
      word.symbols.push_back(byte_ids_[static_cast<unsigned char>(byte)]);
    }
    words.push_back(std::move(word));
  }
  PairTable table(std::move(words));
  std::vector<Bpe::Merge> merges;
  while (static_cast<int32_t>(names_.size()) < vocabulary_size_) {
    const Candidate best = table.pop();
    if (best.count < 1) break;
    const auto [left, right] = best.pair;
    std::string name = names_[static_cast<size_t>(left)] + names_[static_cast<size_t>(right)];
    const auto [known, is_new] = ids_.emplace(name, static_cast<int32_t>(names_.size()));
    if (is_new) names_.push_back(std::move(name));
    merges.push_back({left, right});
    table.merge(best.pair, known->second);
    if (progress) progress(static_cast<int64_t>(names_.size()));
  }
  return make_tokenizer(names_, merges, special_tokens_);
}

}  // namespace twofour::text
