// Inside text/: the parts of a tokenizer, and the files that it is read from and written to.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "twofour/text/added_tokens.h"
#include "twofour/text/bpe.h"
#include "twofour/text/decode_steps.h"
#include "twofour/text/json_reader.h"
#include "twofour/text/part_encoder.h"
#include "twofour/text/sentencepiece_model.h"
#include "twofour/text/tokenizer.h"

namespace twofour::text {

struct Tokenizer::Implementation {
  Implementation();
  uint64_t serial;  ///< unique in this process: the key of caches
  std::unique_ptr<PartEncoder> encoder;
  AddedTokens raw_tokens;                          ///< found in the text as it is
  AddedTokens normalized_tokens;                   ///< found after those, in the normalized text
  std::vector<std::optional<std::string>> pieces;  ///< by id, as the file writes them
  std::map<int32_t, std::string> added_content;    ///< by id; wins over a piece
  std::map<int32_t, std::string> decoded_added;    ///< the decoded text, where it differs
  std::set<int32_t> special;
  std::vector<DecodeStep> decoder;
  std::optional<int32_t> begin_of_text, end_of_text;
  std::vector<int32_t> prefix_ids, suffix_ids;
  int32_t vocabulary_size = 0;
  std::string infilling_token;               ///< no text may hold it; empty for none
  std::map<std::string, std::string> files;  ///< file name -> content, as save() writes them
  /// Decides ids and is not in the vocabulary's files: for hash().
  std::string changes;
  std::shared_ptr<const SentencePieceModel> sentencepiece;  ///< its source, if any
  std::filesystem::path model_beside;  ///< the place of a tokenizer.model beside tokenizer.json
  /// Makes tokenizer.json if it is made only on request, else empty.
  std::function<std::string()> make_tokenizer_json;
};

using MutableTokenizer = std::shared_ptr<Tokenizer::Implementation>;

/// Reads a document in the format of tokenizer.json and nothing beside it; `path` is named in
/// errors. Sets neither files nor the tokens that begin and end a text.
MutableTokenizer read_tokenizer_json(const std::filesystem::path& path, const Json& json);

/// A tokenizer.json, with the tokenizer_config.json beside it.
MutableTokenizer read_tokenizer_json(const std::filesystem::path& path);

/// A tokenizer with GPT-2's rule from pieces by id, as a vocabulary writes them, and merges by
/// rank. The first `special_tokens` pieces are special, the first one begins and ends documents.
Tokenizer make_tokenizer(const std::vector<std::string>& pieces,
                         const std::vector<Bpe::Merge>& merges, size_t special_tokens);

/// begin_of_text and end_of_text, or the usual names for either that is not given.
void set_usual_tokens(std::optional<int32_t> begin, std::optional<int32_t> end,
                      Tokenizer::Implementation& out);

/// The last step of reading a single file: begin_of_text, end_of_text and the ids around a text,
/// from the tokenizer_config.json beside the file `neighbour`, else from the usual names.
void read_tokenizer_config(const std::filesystem::path& neighbour, Tokenizer::Implementation& out);

}  // namespace twofour::text
