// Matrices for the tests of products.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "twofour/kernels/types.h"

namespace twofour::kernels {

template <class T>
struct Matrix {
  int64_t rows, columns, stride;
  std::vector<T> storage;  // one extra entry at the start: rows have odd addresses
  Matrix(int64_t rows, int64_t columns, int64_t gap = 0)
      : rows(rows),
        columns(columns),
        stride(columns + gap),
        storage(static_cast<size_t>(rows * stride + 1)) {}
  T* data() { return storage.data() + 1; }
  T& at(int64_t r, int64_t c) { return data()[r * stride + c]; }
  double get(int64_t r, int64_t c) { return to_float(at(r, c)); }
};

template <class T>
Matrix<T> random_matrix(int64_t rows, int64_t columns, std::mt19937& random, int64_t gap = 0) {
  std::normal_distribution<float> normal;
  Matrix<T> matrix(rows, columns, gap);
  for (T& value : matrix.storage) store(normal(random), value);
  return matrix;
}

// Keeps two, one or none of every four entries of a row.
template <class T>
Matrix<T> random_sparse(int64_t rows, int64_t columns, std::mt19937& random, int64_t gap = 0) {
  Matrix<T> matrix = random_matrix<T>(rows, columns, random, gap);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; c += 4) {
      const auto one = static_cast<int64_t>(random() % 4), two = static_cast<int64_t>(random() % 4);
      for (int64_t i = 0; i < 4; ++i) {
        if ((i != one && i != two) || random() % 16 == 0) matrix.at(r, c + i) = T{};
      }
    }
  }
  return matrix;
}

// The error bound of rounding to T, relative to the sum of the magnitudes of all terms.
template <class T>
constexpr double kRounding = 1e-6;
template <>
inline constexpr double kRounding<bfloat16> = 4.5e-3;
template <>
inline constexpr double kRounding<float16> = 1e-3;

}  // namespace twofour::kernels
