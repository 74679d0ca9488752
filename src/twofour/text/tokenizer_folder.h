// Inside text/: a folder as AutoTokenizer of transformers 5 reads it.
#pragma once

#include <filesystem>

#include "twofour/text/tokenizer_files.h"

namespace twofour::text {

/// Turns the folder's files into one document in the format of tokenizer.json and reads that. The
/// files that count, and their changes, depend on the class of the tokenizer (tokenizer_class.h);
/// docs/model-format.md has the table.
///
/// Throws Error that names folder or file and the reason: no tokenizer, or an unsupported class,
/// file or field that would change ids.
MutableTokenizer read_tokenizer_folder(const std::filesystem::path& folder);

}  // namespace twofour::text
