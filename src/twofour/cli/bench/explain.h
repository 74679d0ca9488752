// The decision of tensor::choose for a product, and its reasons.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "twofour/tensor/choice.h"

namespace twofour::cli {

/// Construct it before the first product runs, because it remembers the file of choices.
class Explainer {
 public:
  Explainer();

  /// For a product that has run: {shape, run, dense_ms, sparse_ms, source, tune, file}. `source` is
  /// "measured", "file", "off" (TWOFOUR_TUNE=off), or "only dense" if no 2:4 kernel can compute the
  /// product.
  nlohmann::ordered_json explain(const tensor::ProductShape& shape) const;

 private:
  nlohmann::json before_;
};

/// The same as a sentence.
std::string explanation_of(const nlohmann::ordered_json& choice);

}  // namespace twofour::cli
