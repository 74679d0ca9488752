// Inside text/: the added tokens of a tokenizer.json.
#pragma once

#include <filesystem>
#include <vector>

#include "twofour/text/json_reader.h"
#include "twofour/text/normalizer.h"
#include "twofour/text/tokenizer_files.h"
#include "twofour/text/vocabulary.h"

namespace twofour::text {

/// Reads "added_tokens" as Hugging Face's tokenizers does, which ignores the file's ids for them. A
/// token that is a piece has the piece's id; the others are numbered from the number of pieces on,
/// in the order of the file. `out` has its encoder already, unless it is a PipelineEncoder.
void read_added_tokens(const std::filesystem::path& path, const Json& json,
                       const Vocabulary& vocabulary, const std::vector<Normalizer>& normalizers,
                       Tokenizer::Implementation& out);

}  // namespace twofour::text
