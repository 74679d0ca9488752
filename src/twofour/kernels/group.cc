#include "twofour/kernels/group.h"

#include <cmath>

namespace twofour::kernels {

void mvue24_probabilities(const double (&x)[4], double (&p)[4]) {
  double largest = 0.0, b[4], sum = 0.0;
  for (double value : x) largest = std::fmax(largest, std::fabs(value));
  for (int i = 0; i < 4; ++i) {
    b[i] = largest > 0.0 ? std::fabs(x[i]) / largest : 0.0;
    sum += b[i];
  }
  for (int i = 0; i < 4; ++i) {
    double others = 1.0;
    for (int j = 0; j < 4; ++j) {
      double rest = 0.0;
      for (int k = 0; k < 4; ++k) rest += k == j ? 0.0 : b[k];
      if (j != i && rest > 0.0) others += b[j] / rest;
    }
    p[i] = sum > 0.0 ? b[i] / sum * others : 0.0;
  }
}

void mvue24_exact_probabilities(const double (&x)[4], double (&p)[4]) {
  double budget = 2.0;
  bool capped[4] = {};
  for (bool changed = true; changed;) {
    changed = false;
    double sum = 0.0;
    for (int i = 0; i < 4; ++i) sum += capped[i] ? 0.0 : std::fabs(x[i]);
    for (int i = 0; i < 4; ++i) {
      if (capped[i]) continue;
      p[i] = sum > 0.0 ? budget * (std::fabs(x[i]) / sum) : 0.0;
    }
    for (int i = 0; i < 4; ++i) {
      if (capped[i] || p[i] < 1.0) continue;
      p[i] = 1.0;
      capped[i] = changed = true;
      budget -= 1.0;
      if (budget <= 0.0) break;
    }
    if (budget <= 0.0) {
      for (int i = 0; i < 4; ++i) p[i] = capped[i] ? 1.0 : 0.0;
      return;
    }
  }
}

double mvue24_variance(const double (&x)[4], const double (&p)[4]) {
  double variance = 0.0;
  for (int i = 0; i < 4; ++i) {
    if (x[i] != 0.0) variance += x[i] * x[i] * (1.0 / p[i] - 1.0);
  }
  return variance;
}

}  // namespace twofour::kernels
