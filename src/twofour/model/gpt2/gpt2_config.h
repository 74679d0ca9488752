#pragma once

#include <cstdint>
#include <string>

#include <nlohmann/json.hpp>

#include "twofour/model/config_reader.h"
#include "twofour/model/sizes.h"

namespace twofour::model {

/// `feed_forward` is 4 · width in the published models and half of it for method half.
struct Gpt2Config {
  int64_t vocabulary = 50257;
  int64_t context = 1024;  ///< largest number of tokens of a sequence
  int64_t width = 768;
  int64_t layers = 12;
  int64_t heads = 12;
  int64_t feed_forward = 3072;
  double layer_norm_epsilon = 1e-5;

  std::string model_type() const { return "gpt2"; }
  static int64_t usual_feed_forward(int64_t w) { return 4 * w; }
  /// Throws Error (usage) for impossible sizes, naming the two that disagree.
  void check() const;
  bool operator==(const Gpt2Config&) const = default;
};

/// Reads config.json, and writes its fields.
Gpt2Config read_gpt2(ConfigReader& reader);
nlohmann::ordered_json config_json(const Gpt2Config& config);

}  // namespace twofour::model
