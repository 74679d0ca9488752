// Inside text/: the vocabulary that Hugging Face's classes take from a tokenizer.model.
#pragma once

#include <vector>

#include "twofour/text/json_reader.h"
#include "twofour/text/sentencepiece_model.h"
#include "twofour/text/special_tokens.h"

namespace twofour::text {

/// All pieces, and every pair of pieces that makes a piece, in the order of the pieces' ids, as in
/// LlamaTokenizer. Scores and piece types are ignored.
Json vocabulary_of(const SentencePieceModel& model);
Json merges_by_id(const SentencePieceModel& model);

/// The pieces with the names that added_tokens_decoder gives some ids, unless a piece of another id
/// has that name.
Json renamed_vocabulary(const SentencePieceModel& model, const SpecialTokens& tokens);

/// The tokenizer.json that the backend makes of the model, as close to what sentencepiece does as
/// its components allow.
Json sentencepiece_document(const SentencePieceModel& model, Json vocabulary, bool legacy);

/// Added tokens: control pieces and, `with_user_defined`, user-defined ones.
std::vector<NamedToken> added_pieces(const SentencePieceModel& model, bool with_user_defined);

}  // namespace twofour::text
