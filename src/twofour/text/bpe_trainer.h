// Learning a byte-level BPE vocabulary.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "twofour/text/tokenizer.h"

namespace twofour::text {

/// Counts the words of texts by GPT-2's splitting rule, then repeatedly merges the most frequent
/// pair. The vocabulary is that of Hugging Face's BpeTrainer: of equally frequent pairs, the one
/// with the smaller ids (left, then right) comes first.
class BpeTrainer {
 public:
  /// A special token that is given twice counts once; one that is a byte's piece ("|") is that
  /// piece too. In the texts, special tokens are plain text. Throws Error (usage) for one that is
  /// empty or not UTF-8, and if `vocabulary_size` is below the bytes and special tokens.
  BpeTrainer(int32_t vocabulary_size, const std::vector<std::string>& special_tokens);

  /// `text` is valid UTF-8, a whole document or a part that begins and ends where
  /// Splitter::safe_cut does.
  void add(std::string_view text);

  /// Ids: special tokens first, then the bytes in the order of their characters, then the merges.
  /// Stops early, with a smaller vocabulary, when no pair is left. Throws Error when no text was
  /// added. The first special token begins and ends documents.
  Tokenizer train(const std::function<void(int64_t pieces)>& progress = {});

 private:
  std::array<int32_t, 256> byte_ids_;
  int32_t vocabulary_size_;
  size_t special_tokens_ = 0;
  std::vector<std::string> names_;  // by id, as a vocabulary writes them
  std::unordered_map<std::string, int32_t> ids_;
  std::unordered_map<std::string, int64_t> counts_;
};

}  // namespace twofour::text
