// Inside text/: a folder as AutoTokenizer of transformers 5 reads it.
#pragma once

#include <filesystem>

#include "twofour/text/tokenizer_files.h"

namespace twofour::text {

/// The folder's files make one document in the format of tokenizer.json, and that is read. Which
/// files count and what is changed in them depends on the class of the tokenizer
/// (tokenizer_class.h); docs/model-format.md has the table.
///
/// Throws Error that names folder or file and the reason: no tokenizer, a class, a file or a field
/// that is not supported and would change ids.
MutableTokenizer read_tokenizer_folder(const std::filesystem::path& folder);

}  // namespace twofour::text
