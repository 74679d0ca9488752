// Inside text/: tokenizers of sentencepiece's pieces, from any file.
#pragma once

#include <filesystem>

#include "twofour/text/json_reader.h"
#include "twofour/text/sentencepiece_model.h"
#include "twofour/text/tokenizer_files.h"

namespace twofour::text {

/// tokenizer.model: gives sentencepiece's ids. As in Hugging Face's tokenizers, each part between
/// control pieces is a separate text. Refuses by name what would change ids and is not implemented:
/// model types other than BPE, normalizer tables, unused pieces.
MutableTokenizer read_sentencepiece_tokenizer(const std::filesystem::path& path);

struct SentencePieceOptions {
  bool fuse_unknown = true;  ///< a run of unknown characters is one id, as sentencepiece has it
  bool adds_begin =
      false;  ///< the begin id goes before a text if tokenizer_config.json says nothing
};

/// A tokenizer of such a model. `path` is for errors, and for a tokenizer_config.json beside it.
/// Saves a tokenizer.json with the same ids if one can have them.
MutableTokenizer make_sentencepiece_tokenizer(const std::filesystem::path& path,
                                              SentencePieceModel model,
                                              SentencePieceOptions options = {});

/// Whether the normalized text is searched for a piece before all merging: a user-defined one, but
/// not with a plain space, which normalized text lacks.
bool is_findable(const SentencePiece& piece);

/// tokenizer.json of a model. Its merges are the pairs of pieces that make a piece, in the order of
/// the pieces' scores; among equals, those with the longest parts come first.
Json sentencepiece_json(const SentencePieceModel& model, bool fuse_unknown,
                        const std::vector<int32_t>& prefix_ids,
                        const std::vector<int32_t>& suffix_ids);

/// tokenizer_config.json that makes transformers take tokenizer.json as it is; `config` is the one
/// that was read, or an empty object.
Json sentencepiece_config(const SentencePieceModel& model, Json config);

}  // namespace twofour::text
