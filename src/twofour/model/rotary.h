// Rotary position embedding (Su et al., arXiv 2104.09864), over all or the first part of a head. B
// batch, T tokens of a sequence, H heads, d width of a head, r <= d the width of its rotated part.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace twofour::model {

/// The changes of the angles for longer contexts. kLlama3, of LLaMA 3.1: long wavelengths are
/// divided by `factor`, short ones kept, those between blended. kLinear: all are divided (Chen et
/// al., arXiv 2306.15595).
struct RopeScaling {
  enum class Kind { kNone, kLinear, kLlama3 };
  Kind kind = Kind::kNone;
  double factor = 1.0;
  double low_frequency_factor = 1.0, high_frequency_factor = 4.0;  ///< kLlama3 only
  int64_t original_context = 8192;                                 ///< kLlama3 only

  bool operator==(const RopeScaling&) const = default;
};

struct Rope {
  double theta = 10000.0;
  RopeScaling scaling;

  bool operator==(const Rope&) const = default;
};

/// The r / 2 angles per position, float32, rounded as transformers computes them. `width` is r.
at::Tensor rope_frequencies(const Rope& rope, int64_t width);

/// Cosines and sines of the angles [positions, r / 2].
struct Rotation {
  at::Tensor cosine, sine;
};

/// Those of `tokens` positions from `first`, for frequencies [r / 2] in float32.
Rotation rotation_of(const at::Tensor& frequencies, int64_t first, int64_t tokens,
                     at::ScalarType dtype);

/// Rotates the pairs (i, i + r / 2) of x [B, H, T, d] by their angles; values after r stay.
at::Tensor rotate(const at::Tensor& x, const Rotation& by);

}  // namespace twofour::model
