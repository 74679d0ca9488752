// Inside text/: what a tokenizer is made of, and the files it is read from and written to.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "twofour/text/bpe.h"
#include "twofour/text/splitter.h"
#include "twofour/text/tokenizer.h"

namespace twofour::text {

struct AddedToken {
  std::string content;
  int32_t id = 0;
};

struct Tokenizer::Implementation {
  Implementation();
  uint64_t serial;  ///< no other of this process ever has it: what caches are kept by
  std::unique_ptr<Bpe> bpe;
  std::unique_ptr<Splitter> splitter;
  bool add_prefix_space = false;
  std::vector<AddedToken> recognised;  ///< found in the text before it is split, the longest first
  std::string first_bytes;             ///< with which those begin, each once
  std::map<int32_t, std::string> added_content;  ///< for decode
  std::optional<int32_t> end_of_text;
  int32_t vocabulary_size = 0;
  std::map<std::string, std::string> files;  ///< file name -> content, as save() writes them
};

std::shared_ptr<Tokenizer::Implementation> read_tokenizer_json(const std::filesystem::path& path);
std::shared_ptr<Tokenizer::Implementation> read_vocabulary_and_merges(
    const std::filesystem::path& vocabulary, const std::filesystem::path& merges);

/// A tokenizer with GPT-2's rule from pieces by id (special tokens as their text) and merges by
/// rank.
Tokenizer make_tokenizer(const std::vector<std::string>& pieces,
                         const std::vector<Bpe::Merge>& merges,
                         const std::vector<std::string>& special_tokens);

}  // namespace twofour::text
