// Inside text/: documents in the format of tokenizer.json, as transformers' classes build them.
// They ignore the normalizer, pre-tokenizer and decoder of a folder's own tokenizer.json.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "twofour/text/json_reader.h"
#include "twofour/text/tokenizer_class.h"

namespace twofour::text {

/// BPE over a vocabulary and merges, with nothing around it.
Json bpe_document(Json vocabulary, Json merges);

Json byte_level_json(bool add_prefix_space, bool use_regex);
Json split_json(const std::string& regex);  ///< every match is a part of its own
Json metaspace_json(const char* prepend_scheme);
Json replace_json(const char* kind, const std::string& pattern, const std::string& content);
/// U+2581 to spaces; with `strip` one space fewer at the start.
Json space_decoder_json(bool byte_fallback, bool strip);
/// Tokens before and behind a text; null without any.
Json template_json(const std::vector<std::pair<std::string, int32_t>>& before,
                   const std::vector<std::pair<std::string, int32_t>>& behind);

/// The classes' options from tokenizer_config.json.
struct ClassOptions {
  bool add_prefix_space = false;
  bool legacy = false;        ///< LlamaTokenizer: a space before every part, not the first alone
  std::string unknown_token;  ///< CodeLlamaTokenizer
};

/// The document of any class but kBackend, without added tokens and post-processor.
Json class_document(TokenizerClass type, const ClassOptions& options, Json vocabulary, Json merges);

}  // namespace twofour::text
