#include "twofour/base/hash.h"

#include <fmt/format.h>
#include <xxhash.h>

namespace twofour {
namespace {

std::string hexadecimal(XXH128_hash_t hash) {
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

}  // namespace

std::string hash_of(std::string_view content) {
  return hexadecimal(XXH3_128bits(content.data(), content.size()));
}

std::string checksum_of(std::string_view content) {
  XXH128_canonical_t bytes;
  XXH128_canonicalFromHash(&bytes, XXH3_128bits(content.data(), content.size()));
  return {reinterpret_cast<const char*>(bytes.digest), sizeof bytes.digest};
}

struct Hasher::State {
  XXH3_state_t* xxh = XXH3_createState();
  ~State() { XXH3_freeState(xxh); }
};

Hasher::Hasher() : state_(std::make_unique<State>()) { XXH3_128bits_reset(state_->xxh); }
Hasher::~Hasher() = default;

void Hasher::add(std::string_view piece) {
  XXH3_128bits_update(state_->xxh, piece.data(), piece.size());
}

std::string Hasher::digest() const { return hexadecimal(XXH3_128bits_digest(state_->xxh)); }

}  // namespace twofour
