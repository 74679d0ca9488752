// What tensor::choose decided for a product, and what it knew.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "twofour/tensor/choice.h"

namespace twofour::cli {

/// Made before the first product runs: it remembers what the file of choices held then.
class Explainer {
 public:
  Explainer();

  /// Of a product that has run: {shape, run, dense_ms, sparse_ms, source, tune, file}; `source` is
  /// "measured", "file", "off" (TWOFOUR_TUNE=off), or "only dense" where no 2:4 kernel can compute
  /// the product.
  nlohmann::ordered_json explain(const tensor::ProductShape& shape) const;

 private:
  nlohmann::json before_;
};

/// The same in one sentence.
std::string explanation_of(const nlohmann::ordered_json& choice);

}  // namespace twofour::cli
