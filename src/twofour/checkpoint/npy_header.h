// The header of a .npy array: a magic, a version, and a Python dictionary of three entries.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

namespace twofour::checkpoint {

struct NpyHeader {
  at::ScalarType dtype = at::kByte;
  bool fortran_order = false;
  std::vector<int64_t> shape;
  uint64_t data_bytes = 0;  ///< from the shape and dtype
};

/// The bytes of the fixed part, which gives the length of the header.
inline constexpr uint64_t kNpyFixedBytes = 12;
inline constexpr uint64_t kLargestNpyHeader = 1 << 16;

/// The length of the whole header from its first 12 bytes (versions 1, 2 and 3), at most
/// kLargestNpyHeader. Throws Error with the reason ("is no NumPy array" for another magic); the
/// caller adds the name.
uint64_t npy_header_bytes(std::string_view start);

/// `header` is the whole header. Throws Error with the reason for anything but {'descr': …,
/// 'fortran_order': …, 'shape': …}, unsupported dtypes and shapes that overflow.
NpyHeader parse_npy_header(std::string_view header);

/// The header of an array in C order, as numpy writes it: version 1.0, padded to 64 bytes.
std::string make_npy_header(const at::Tensor& array);

}  // namespace twofour::checkpoint
