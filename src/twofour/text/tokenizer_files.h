// Inside text/: what a tokenizer is made of, and the files it is read from and written to.
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
  uint64_t serial;  ///< no other of this process ever has it: what caches are kept by
  std::unique_ptr<PartEncoder> encoder;
  AddedTokens raw_tokens;                          ///< found in the text as it is
  AddedTokens normalized_tokens;                   ///< found behind those, in the normalized text
  std::vector<std::optional<std::string>> pieces;  ///< by id, as the file writes them
  std::map<int32_t, std::string> added_content;    ///< by id; goes before a piece
  std::map<int32_t, std::string> decoded_added;    ///< what is decoded instead, where it differs
  std::set<int32_t> special;
  std::vector<DecodeStep> decoder;
  std::optional<int32_t> begin_of_text, end_of_text;
  std::vector<int32_t> prefix_ids, suffix_ids;
  int32_t vocabulary_size = 0;
  std::string infilling_token;               ///< no text may hold it; empty for none
  std::map<std::string, std::string> files;  ///< file name -> content, as save() writes them
  /// What decides ids and does not stand in the vocabulary's files: for hash().
  std::string changes;
  std::shared_ptr<const SentencePieceModel> sentencepiece;  ///< what it was made of, if of that
  std::filesystem::path model_beside;  ///< where tokenizer.model would lie beside tokenizer.json
  /// tokenizer.json where it is made only when it is asked for, else empty.
  std::function<std::string()> make_tokenizer_json;
};

using MutableTokenizer = std::shared_ptr<Tokenizer::Implementation>;

/// What a document in the format of tokenizer.json means, whatever lies beside it; `path` is named
/// in errors. Sets neither files nor the tokens that begin and end a text.
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

/// What a reader of a single file ends with: begin_of_text, end_of_text and the ids around a text
/// from the tokenizer_config.json beside the file `neighbour` if there is one, else from the usual
/// names.
void read_tokenizer_config(const std::filesystem::path& neighbour, Tokenizer::Implementation& out);

}  // namespace twofour::text
