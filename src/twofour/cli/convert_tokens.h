// Token files between this program's format and nanoGPT's.
#pragma once

#include <filesystem>
#include <optional>

#include "twofour/text/tokenizer.h"

namespace twofour::cli {

/// Reads either kind (text/token_file.h) and writes `out`: with NAME.json where `with_json`, else
/// nanoGPT's bare uint16. The ids stay as they are. `tokenizer` is what made them: its vocabulary,
/// hash and the documents that its end of text closes go into NAME.json where IN does not know
/// them; without it the vocabulary is the largest id's. Throws Error for ids beyond the vocabulary
/// or beyond uint16, and for a tokenizer other than the one that NAME.json names.
void convert_tokens(const std::filesystem::path& in, const std::filesystem::path& out,
                    bool with_json, const std::optional<text::Tokenizer>& tokenizer);

}  // namespace twofour::cli
