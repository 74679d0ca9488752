#pragma once

#include <cstdint>
#include <string>

#include <nlohmann/json.hpp>

#include "twofour/model/config_reader.h"
#include "twofour/model/sizes.h"

namespace twofour::model {

struct OptConfig {
  int64_t vocabulary = 50272;
  int64_t context = 2048;  ///< largest number of tokens of a sequence
  int64_t width = 768;
  int64_t layers = 12;
  int64_t heads = 12;
  int64_t feed_forward = 3072;
  int64_t embedding_width = 768;  ///< if not `width`: projected to it and back (350M)
  bool has_norms_first = true;    ///< else after each residual sum (350M)
  bool has_last_norm = true;      ///< only with norms first
  bool has_biases = true;
  bool tied = true;  ///< the output matrix is the token embedding

  static constexpr double kLayerNormEpsilon = 1e-5;
  /// Position p is row p + 2 of the position embedding.
  static constexpr int64_t kPositionOffset = 2;

  bool has_projections() const { return embedding_width != width; }
  std::string model_type() const { return "opt"; }
  static int64_t usual_feed_forward(int64_t w) { return 4 * w; }
  /// Throws Error (usage) for impossible sizes, naming the two that disagree.
  void check() const;
  bool operator==(const OptConfig&) const = default;
};

/// Reads config.json, and writes its fields.
OptConfig read_opt(ConfigReader& reader);
nlohmann::ordered_json config_json(const OptConfig& config);

}  // namespace twofour::model
