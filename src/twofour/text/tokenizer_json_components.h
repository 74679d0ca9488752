// Inside text/: the parts of tokenizer.json around its model. Refuses by name every component that
// is not exactly understood.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "twofour/text/byte_level_encoder.h"
#include "twofour/text/character_encoder.h"
#include "twofour/text/decode_steps.h"
#include "twofour/text/json_reader.h"
#include "twofour/text/pipeline_encoder.h"
#include "twofour/text/tokenizer_files.h"

namespace twofour::text {

/// The components of json[field], those of a "Sequence" in their order; none for null.
std::vector<Json> read_sequence(const std::filesystem::path& path, const Json& json,
                                const char* field, const char* members);

/// "normalizer" and "pre_tokenizer".
Pipeline read_pipeline(const std::filesystem::path& path, const Json& json);

/// A Metaspace, as pre-tokenizer and as decoder.
struct Metaspace {
  std::string replacement;
  PrependScheme scheme;
  bool split;
};
Metaspace read_metaspace(const std::filesystem::path& path, const Json& component);

/// "decoder".
std::vector<DecodeStep> read_decoder(const std::filesystem::path& path, const Json& json);

/// "post_processor": the ids before and behind a text.
void read_post_processor(const std::filesystem::path& path, const Json& json,
                         Tokenizer::Implementation& out);

/// A required field with a value of its type; else an error that names the component.
bool need_flag(const std::filesystem::path& path, const Json& component, const char* field);
size_t need_count(const std::filesystem::path& path, const Json& component, const char* field);
std::string need_string(const std::filesystem::path& path, const Json& component,
                        const char* field);
std::string need_character(const std::filesystem::path& path, const Json& component,
                           const char* field);
Pattern need_pattern(const std::filesystem::path& path, const Json& component);

/// The shape of GPT-2, LLaMA-3, Qwen2 and SmolLM: ByteLevel after a known rule.
struct ByteLevelShape {
  std::string_view rule;
  ByteLevelEncoder::Options options;
};
std::optional<ByteLevelShape> find_byte_level_shape(const std::filesystem::path& path,
                                                    const Json& json);

/// The shape of LLaMA-2: spaces as pieces, no rule.
struct CharacterShape {
  SpaceRule spaces;
  bool split_words = false;  ///< Metaspace with split
};
std::optional<CharacterShape> find_character_shape(const std::filesystem::path& path,
                                                   const Json& json);

/// The "normalizer" that stands for the rule of sentencepiece.
Json normalizer_json(const SpaceRule& rule);
/// The "decoder" that goes with it.
Json decoder_json(const SpaceRule& rule);

}  // namespace twofour::text
