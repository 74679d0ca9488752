// XXH3-128 as 32 hexadecimal digits. It tells contents apart and does not prevent forgery.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace twofour {

std::string hash_of(std::string_view content);

/// The same as 16 bytes, in the order of the digits.
std::string checksum_of(std::string_view content);

/// The hash of pieces that follow each other.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  void add(std::string_view piece);
  std::string digest() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace twofour
