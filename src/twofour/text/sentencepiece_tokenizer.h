// Inside text/: tokenizers made of sentencepiece's pieces, whichever file holds them.
#pragma once

#include <filesystem>

#include "twofour/text/json_reader.h"
#include "twofour/text/sentencepiece_model.h"
#include "twofour/text/tokenizer_files.h"

namespace twofour::text {

/// tokenizer.model: the ids that sentencepiece gives, and as in Hugging Face's tokenizers each part
/// between control pieces is a text of its own. Refuses by name what would change ids and is not
/// done here: model types other than BPE, normalizer tables, unused pieces.
MutableTokenizer read_sentencepiece_tokenizer(const std::filesystem::path& path);

struct SentencePieceOptions {
  bool fuse_unknown = true;  ///< a run of unknown characters is one id, as sentencepiece has it
  bool adds_begin =
      false;  ///< the begin id goes before a text if tokenizer_config.json says nothing
};

/// A tokenizer of such a model, from `path`: for errors, and a tokenizer_config.json beside it.
/// What it saves is a tokenizer.json with the same ids, where one can have them.
MutableTokenizer make_sentencepiece_tokenizer(const std::filesystem::path& path,
                                              SentencePieceModel model,
                                              SentencePieceOptions options = {});

/// Whether a piece is looked for in the normalized text before all merging: a user-defined one, but
/// not with a plain space, as normalized text has none.
bool is_findable(const SentencePiece& piece);

/// tokenizer.json of a model. Its merges are the pairs of pieces that make a piece, in the order of
/// the pieces' scores, of equals those with the longest parts first.
Json sentencepiece_json(const SentencePieceModel& model, bool fuse_unknown,
                        const std::vector<int32_t>& prefix_ids,
                        const std::vector<int32_t>& suffix_ids);

/// tokenizer_config.json that makes transformers take tokenizer.json as it is; `config` is the one
/// that was read, or an empty object.
Json sentencepiece_config(const SentencePieceModel& model, Json config);

}  // namespace twofour::text
