#pragma once

#include <cstdint>
#include <string>

#include <nlohmann/json.hpp>

#include "twofour/model/config_reader.h"
#include "twofour/model/rotary.h"
#include "twofour/model/sizes.h"

namespace twofour::model {

struct Qwen3Config {
  int64_t vocabulary = 151936;
  int64_t context = 32768;  ///< largest number of tokens of a sequence
  int64_t width = 4096;
  int64_t layers = 32;
  int64_t heads = 32;
  int64_t key_value_heads = 32;
  int64_t head_width = 128;  ///< heads · head_width may differ from width
  int64_t feed_forward = 22016;
  double rms_norm_epsilon = 1e-6;
  Rope rope;
  bool tied = false;            ///< the output matrix is the token embedding
  bool attention_bias = false;  ///< of the four projections of attention

  std::string model_type() const { return "qwen3"; }
  static int64_t usual_feed_forward(int64_t w) { return gated_feed_forward_width(w); }
  /// Throws Error (usage) for impossible sizes, naming the two that disagree.
  void check() const;
  bool operator==(const Qwen3Config&) const = default;
};

/// Reads config.json, and writes its fields.
Qwen3Config read_qwen3(ConfigReader& reader);
nlohmann::ordered_json config_json(const Qwen3Config& config);

}  // namespace twofour::model
