#pragma once

#include <cstdint>
#include <string>

#include <nlohmann/json.hpp>

#include "twofour/model/config_reader.h"
#include "twofour/model/rotary.h"
#include "twofour/model/sizes.h"

namespace twofour::model {

struct LlamaConfig {
  /// Hugging Face's model_type: llama, mistral or qwen2. It only affects config.json.
  std::string family = "llama";
  int64_t vocabulary = 32000;
  int64_t context = 2048;  ///< largest number of tokens of a sequence
  int64_t width = 4096;
  int64_t layers = 32;
  int64_t heads = 32;
  int64_t key_value_heads = 32;
  int64_t head_width = 128;
  int64_t feed_forward = 11008;
  double rms_norm_epsilon = 1e-6;
  Rope rope;
  bool tied = false;                   ///< the output matrix is the token embedding
  bool query_bias = false;             ///< of q_proj, k_proj and v_proj
  bool attention_output_bias = false;  ///< of o_proj
  bool feed_forward_bias = false;

  std::string model_type() const { return family; }
  static int64_t usual_feed_forward(int64_t w) { return gated_feed_forward_width(w); }
  /// Throws Error (usage) for impossible sizes, naming the two that disagree.
  void check() const;
  bool operator==(const LlamaConfig&) const = default;
};

/// Reads config.json with model_type `family`, and writes its fields.
LlamaConfig read_llama(ConfigReader& reader, const std::string& family);
nlohmann::ordered_json config_json(const LlamaConfig& config);

}  // namespace twofour::model
