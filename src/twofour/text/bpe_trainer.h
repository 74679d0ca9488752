// Learning a byte-level BPE vocabulary.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "twofour/text/tokenizer.h"

namespace twofour::text {

/// Counts the words of texts by GPT-2's splitting rule, then merges the most frequent pair again
/// and again. The same texts give the same vocabulary: of equally frequent pairs the one with the
/// smaller ids (left, then right) comes first, as in Hugging Face's BpeTrainer, whose merges these
/// equal.
class BpeTrainer {
 public:
  BpeTrainer();

  /// `text` is valid UTF-8, a whole document or a part that begins and ends where
  /// Splitter::safe_cut does.
  void add(std::string_view text);

  /// Ids: special tokens first, then the 256 bytes in the order of their characters, then the
  /// merges. Stops early, with a smaller vocabulary, when no pair is left. Throws Error (usage)
  /// when `vocabulary_size` does not even hold the bytes and special tokens.
  Tokenizer train(int32_t vocabulary_size, const std::vector<std::string>& special_tokens,
                  const std::function<void(int64_t pieces)>& progress = {});

 private:
  std::unordered_map<std::string, int64_t> counts_;
};

}  // namespace twofour::text
