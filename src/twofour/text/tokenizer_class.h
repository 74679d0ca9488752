// The transformers class of a folder's tokenizer, which decides how the folder's files are read.
#pragma once

#include <filesystem>
#include <string>

#include "twofour/text/json_reader.h"

namespace twofour::text {

/// "…Fast" is the same class.
enum class TokenizerClass {
  kBackend,    ///< PreTrainedTokenizerFast: tokenizer.json as it is; the rule of a tokenizer.model
  kGpt2,       ///< GPT2Tokenizer
  kGptNeoX,    ///< GPTNeoXTokenizer
  kQwen2,      ///< Qwen2Tokenizer
  kLlama,      ///< LlamaTokenizer
  kCodeLlama,  ///< CodeLlamaTokenizer
  /// sentencepiece's own, which transformers does not know: what save() writes for a
  /// tokenizer.model that tokenizer.json cannot express.
  kSentencePiece,
};

/// The name in a tokenizer_config.json.
const char* class_name(TokenizerClass type);

/// The folder's evidence of its class.
struct ClassEvidence {
  Json tokenizer_config = Json::object();
  Json config = Json::object();     ///< config.json
  bool json_is_byte_level = false;  ///< tokenizer.json names a component "ByteLevel"
};

/// The class that AutoTokenizer of transformers 5 takes: mostly tokenizer_class of
/// tokenizer_config.json, else that of config.json, else by its model_type; for some model types
/// always the same. Throws Error for an unsupported class, naming it, and for code in the folder
/// (auto_map). `folder` is named in errors.
TokenizerClass choose_tokenizer_class(const std::filesystem::path& folder,
                                      const ClassEvidence& evidence);

/// Whether the folder names any class.
bool names_tokenizer_class(const ClassEvidence& evidence);

}  // namespace twofour::text
