// Inside text/: the parts of tokenizer.json around its model. Every component that is not exactly
// understood is refused by name.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "twofour/text/byte_level_encoder.h"
#include "twofour/text/character_encoder.h"
#include "twofour/text/json_reader.h"
#include "twofour/text/tokenizer_files.h"

namespace twofour::text {

struct Components {
  bool byte_level = false;
  std::string rule;  ///< byte-level: the splitting rule
  ByteLevelEncoder::Options byte_level_options;
  SpaceRule spaces;          ///< else
  bool split_words = false;  ///< else: Metaspace with split
  Strip strip = Strip::kNothing;
  std::vector<int32_t> prefix_ids, suffix_ids;
};

/// Reads "normalizer", "pre_tokenizer", "decoder" and "post_processor".
Components read_components(const std::filesystem::path& path, const Json& json);

/// The "normalizer" that stands for the rule of sentencepiece.
Json normalizer_json(const SpaceRule& rule);
/// The "decoder" that goes with it.
Json decoder_json(const SpaceRule& rule);

}  // namespace twofour::text
