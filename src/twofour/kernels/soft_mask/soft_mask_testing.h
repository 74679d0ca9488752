// Patterns, values and the definition in float64, for the tests of learned masks.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "twofour/kernels/kernels_testing.h"
#include "twofour/kernels/soft_mask/candidates.h"

namespace twofour::kernels {

struct MaskPattern {
  int64_t kept, group;
};

// All patterns of groups of up to 8 and some others.
inline std::vector<MaskPattern> learnable_patterns() {
  std::vector<MaskPattern> all = {{1, 16}, {1, 70}, {69, 70}, {2, 12}, {10, 12}, {3, 8}, {1, 9}};
  for (int64_t group = 2; group <= 8; ++group) {
    for (int64_t kept = 1; kept < group; ++kept) all.push_back({kept, group});
  }
  return all;
}

template <class T>
std::vector<T> rounded(const std::vector<float>& values) {
  std::vector<T> out(values.size());
  for (size_t i = 0; i < values.size(); ++i) store(values[i], out[i]);
  return out;
}

template <class T>
std::vector<T> random_values(int64_t count, uint32_t seed, float scale = 1.0f) {
  auto values = normal_floats(static_cast<size_t>(count), seed);
  for (float& value : values) value *= scale;
  return rounded<T>(values);
}

// Of one group, in float64: the definition.
struct GroupInDouble {
  std::vector<double> y, soft;

  GroupInDouble(const float* logits, const float* gumbel, const Candidates& c, double kappa,
                double tau)
      : y(static_cast<size_t>(c.count())), soft(static_cast<size_t>(c.group())) {
    double top = -1e300, sum = 0;
    for (int64_t k = 0; k < c.count(); ++k) {
      y[k] = (kappa * logits[k] + (gumbel ? gumbel[k] : 0.0)) / tau;
      top = std::max(top, y[k]);
    }
    for (double& value : y) sum += value = std::exp(value - top);
    for (int64_t k = 0; k < c.count(); ++k) {
      y[k] /= sum;
      for (int64_t i = 0; i < c.kept(); ++i) soft[c.positions(k)[i]] += y[k];
    }
  }

  // dlogits, for dsoft.
  std::vector<double> gradient(const std::vector<double>& dsoft, const Candidates& c, double kappa,
                               double tau) const {
    std::vector<double> d(y.size());
    double mean = 0;
    for (size_t k = 0; k < y.size(); ++k) {
      for (int64_t i = 0; i < c.kept(); ++i) {
        d[k] += dsoft[c.positions(static_cast<int64_t>(k))[i]];
      }
      mean += y[k] * d[k];
    }
    for (size_t k = 0; k < y.size(); ++k) d[k] = kappa / tau * y[k] * (d[k] - mean);
    return d;
  }
};

}  // namespace twofour::kernels
