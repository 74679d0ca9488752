// Converts token files between this program's format and nanoGPT's.
#pragma once

#include <filesystem>
#include <optional>

#include "twofour/text/tokenizer.h"

namespace twofour::cli {

/// Reads either kind (text/token_file.h) and writes `out`: with NAME.json if `with_json`, else as
/// nanoGPT's bare uint16. The ids stay. `tokenizer` made them: NAME.json gets its vocabulary, its
/// hash and the documents that its end of text closes, if IN lacks them. Without it, the vocabulary
/// is the largest id's. Throws Error for ids beyond the vocabulary or uint16, and if NAME.json
/// names another tokenizer.
void convert_tokens(const std::filesystem::path& in, const std::filesystem::path& out,
                    bool with_json, const std::optional<text::Tokenizer>& tokenizer);

}  // namespace twofour::cli
