// The digits of a .t24 file (docs/model-format.md): each group of a mask is the index of its
// candidate, a digit in base C, and as many digits as fit are one 128-bit integer.
#pragma once

#include <cstdint>

#include "twofour/kernels/soft_mask/candidates.h"

namespace twofour::checkpoint {

/// Converts masks of one pattern to digits and back. Masks are packed as in mask_files.h.
class T24Digits {
 public:
  /// Throws Error as Candidates does.
  T24Digits(int64_t kept, int64_t group);

  /// The groups of an integer: 49 for 2:4, 64 for 1:4.
  int64_t per_integer() const { return per_integer_; }
  /// The bytes of `groups` groups: 16 for each integer, the last of which may have fewer digits.
  uint64_t bytes(int64_t groups) const;

  /// Writes bytes(groups) bytes. Every group must be a candidate.
  void encode(const uint8_t* bits, int64_t groups, uint8_t* digits) const;

  /// Writes ceil(groups · group / 8) bytes, the last one filled up with zeros. Returns the first
  /// group of the first integer that is larger than its digits can make it, or -1.
  int64_t decode(const uint8_t* digits, int64_t groups, uint8_t* bits) const;

 private:
  using Integer = unsigned __int128;
  void encode_piece(const uint8_t* bits, int64_t groups, uint8_t* digits) const;
  int64_t decode_piece(const uint8_t* digits, int64_t groups, uint8_t* bits) const;
  Integer encoded(const uint8_t* mask, int64_t groups) const;
  bool decode_integer(Integer value, int64_t groups, uint8_t* mask) const;

  kernels::Candidates candidates_;
  int64_t per_integer_ = 0, per_word_ = 0;  ///< digits of 128 and of 64 bits
  Integer word_base_ = 1;                   ///< the number of values of per_word_ digits
};

}  // namespace twofour::checkpoint
