// The tokenizer file of llama2.c: int32 length of the longest piece, then to the end of the file
// for each piece float32 score, int32 length, bytes; all little-endian. Pieces are sentencepiece's
// with ' ' for U+2581. Ids 0, 1, 2 are "<unk>", "\n<s>\n", "\n</s>\n"; from 3 on may follow the 256
// bytes, "<0x00>" and so on.
#pragma once

#include <filesystem>
#include <string>

#include "twofour/text/tokenizer.h"
#include "twofour/text/tokenizer_files.h"

namespace twofour::text {

/// Gives the ids of llama2.c, "<s>" before every text (prefix_ids). Without byte pieces, every
/// character that the vocabulary lacks is id 0.
MutableTokenizer read_llama2c_tokenizer(const std::filesystem::path& path);

/// The content of such a file for a tokenizer of LLaMA-2's kind with the ids 0, 1, 2 as above;
/// throws for any other. Scores are those of the file that it was loaded from (tokenizer.model,
/// .bin), of a tokenizer.model with the same pieces beside its tokenizer.json, or else of the
/// merges' order.
std::string llama2c_tokenizer(const Tokenizer& tokenizer);

}  // namespace twofour::text
