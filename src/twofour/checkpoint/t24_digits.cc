#include "twofour/checkpoint/t24_digits.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <vector>

#include "twofour/base/parallel.h"
#include "twofour/kernels/masks/mask.h"

namespace twofour::checkpoint {
namespace {

constexpr int64_t kIntegerBytes = 16;
// Integers of a piece of work. Their groups fill whole bytes of a mask.
constexpr int64_t kPiece = 64;

// The largest number of digits whose every value is below 2^bits.
int64_t digits_of_bits(int64_t base, int bits) {
  using Integer = unsigned __int128;
  const Integer most = ~Integer{0} >> (128 - bits), last = static_cast<Integer>(base) - 1;
  int64_t digits = 0;
  for (Integer largest = 0; largest <= (most - last) / (last + 1); ++digits) {
    largest = largest * (last + 1) + last;
  }
  return digits;
}

}  // namespace

T24Digits::T24Digits(int64_t kept, int64_t group)
    : candidates_(kept, group),
      per_integer_(digits_of_bits(candidates_.count(), 128)),
      per_word_(digits_of_bits(candidates_.count(), 64)) {
  for (int64_t i = 0; i < per_word_; ++i) word_base_ *= static_cast<Integer>(candidates_.count());
}

uint64_t T24Digits::bytes(int64_t groups) const {
  const int64_t integers = groups / per_integer_ + (groups % per_integer_ != 0);
  return static_cast<uint64_t>(integers) * kIntegerBytes;
}

T24Digits::Integer T24Digits::encoded(const uint8_t* mask, int64_t groups) const {
  const auto base = static_cast<Integer>(candidates_.count());
  Integer value = 0;
  for (int64_t i = groups - 1; i >= 0; --i) {
    const int64_t index = candidates_.index_of(mask + i * candidates_.group());
    value = value * base + static_cast<Integer>(index);
  }
  return value;
}

void T24Digits::encode_piece(const uint8_t* bits, int64_t groups, uint8_t* digits) const {
  const int64_t group = candidates_.group();
  std::vector<uint8_t> mask(static_cast<size_t>(groups * group));
  kernels::unpack_mask(bits, groups * group, mask.data());
  for (int64_t first = 0; first < groups; first += per_integer_) {
    const Integer value =
        encoded(mask.data() + first * group, std::min(per_integer_, groups - first));
    std::memcpy(digits + first / per_integer_ * kIntegerBytes, &value, kIntegerBytes);
  }
}

void T24Digits::encode(const uint8_t* bits, int64_t groups, uint8_t* digits) const {
  const int64_t piece = kPiece * per_integer_;
  parallel_for(0, (groups + piece - 1) / piece, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      encode_piece(bits + i * piece * candidates_.group() / 8, std::min(piece, groups - i * piece),
                   digits + i * kPiece * kIntegerBytes);
    }
  });
}

// Divides 128 bits once a word and 64 bits once a digit.
bool T24Digits::decode_integer(Integer value, int64_t groups, uint8_t* mask) const {
  const auto base = static_cast<uint64_t>(candidates_.count());
  const int64_t kept = candidates_.kept(), group = candidates_.group();
  for (int64_t done = 0; done < groups; done += per_word_) {
    auto word = static_cast<uint64_t>(value % word_base_);
    value /= word_base_;
    const int64_t last = std::min(done + per_word_, groups);
    for (int64_t i = done; i < last; ++i, mask += group) {
      const uint8_t* positions = candidates_.positions(static_cast<int64_t>(word % base));
      word /= base;
      for (int64_t k = 0; k < kept; ++k) mask[positions[k]] = 1;
    }
    value += word;  // 0, unless the last word holds more than its digits
  }
  return value == 0;
}

int64_t T24Digits::decode_piece(const uint8_t* digits, int64_t groups, uint8_t* bits) const {
  const int64_t group = candidates_.group();
  std::vector<uint8_t> mask(static_cast<size_t>(groups * group));
  for (int64_t first = 0; first < groups; first += per_integer_) {
    Integer value;
    std::memcpy(&value, digits + first / per_integer_ * kIntegerBytes, kIntegerBytes);
    const int64_t here = std::min(per_integer_, groups - first);
    if (!decode_integer(value, here, mask.data() + first * group)) return first;
  }
  kernels::pack_mask(mask.data(), groups * group, bits);
  return -1;
}

int64_t T24Digits::decode(const uint8_t* digits, int64_t groups, uint8_t* bits) const {
  const int64_t piece = kPiece * per_integer_;
  std::atomic<int64_t> bad = groups;
  parallel_for(0, (groups + piece - 1) / piece, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first =
          decode_piece(digits + i * kPiece * kIntegerBytes, std::min(piece, groups - i * piece),
                       bits + i * piece * candidates_.group() / 8);
      if (first < 0) continue;
      const int64_t place = i * piece + first;
      for (int64_t seen = bad; place < seen && !bad.compare_exchange_weak(seen, place);) {
      }
    }
  });
  return bad < groups ? bad.load() : -1;
}

}  // namespace twofour::checkpoint
