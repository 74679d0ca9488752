#pragma once

#include <cstdint>
#include <string>

#include <nlohmann/json.hpp>

#include "twofour/model/config_reader.h"
#include "twofour/model/rotary.h"
#include "twofour/model/sizes.h"

namespace twofour::model {

struct GptNeoXConfig {
  int64_t vocabulary = 50432;
  int64_t context = 2048;  ///< largest number of tokens of a sequence
  int64_t width = 6144;
  int64_t layers = 44;
  int64_t heads = 64;
  int64_t feed_forward = 24576;
  double layer_norm_epsilon = 1e-5;
  Rope rope;
  int64_t rotary_width = 24;          ///< the rotated first part of each head
  bool has_parallel_residual = true;  ///< attention and feed-forward read the same x
  bool has_attention_bias = true;
  bool tied = false;  ///< the output matrix is the token embedding

  std::string model_type() const { return "gpt_neox"; }
  static int64_t usual_feed_forward(int64_t w) { return 4 * w; }
  /// Throws Error (usage) for impossible sizes, naming the two that disagree.
  void check() const;
  bool operator==(const GptNeoXConfig&) const = default;
};

/// Reads config.json, and writes its fields.
GptNeoXConfig read_gpt_neox(ConfigReader& reader);
nlohmann::ordered_json config_json(const GptNeoXConfig& config);

}  // namespace twofour::model
