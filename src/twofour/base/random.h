// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as
// 1, 2, 3", SC 2011). A number is a pure function of its key and position, so that every device,
// instruction set and thread count draws the same ones and nothing has to be saved to resume.
#pragma once

#include <array>
#include <cstdint>

// Arithmetic that CPU and CUDA share. Always inlined, so that a file compiled for one instruction
// set never lends its copy to the rest of the program.
#if defined(__CUDACC__)
#define TWOFOUR_HOST_DEVICE __host__ __device__ inline __attribute__((always_inline))
#else
#define TWOFOUR_HOST_DEVICE inline __attribute__((always_inline))
#endif

namespace twofour {

using PhiloxBlock = std::array<uint32_t, 4>;

/// Ten rounds of Philox4x32 on the 128-bit `counter` under the 64-bit `key`.
TWOFOUR_HOST_DEVICE PhiloxBlock philox(PhiloxBlock counter, uint64_t key) {
  uint32_t key0 = static_cast<uint32_t>(key), key1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53u} * counter[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {
        static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key0, static_cast<uint32_t>(product1),
        static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key1, static_cast<uint32_t>(product0)};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

/// Names one stream of random numbers. Streams with a different field are independent.
struct RandomStream {
  uint64_t seed = 0;
  uint32_t step = 0;         ///< optimiser step
  uint32_t micro_batch = 0;  ///< index over all ranks, so that accumulation never repeats numbers
  uint32_t tensor = 0;       ///< which consumer: a parameter's index, or one of the constants below

  static constexpr uint32_t kRounding = 0x40000000u;  ///< plus a parameter's index
  static constexpr uint32_t kInitialWeights = 0x80000000u;
  static constexpr uint32_t kDataOrder = 0x80000001u;
  static constexpr uint32_t kSampling = 0x80000002u;
  static constexpr uint32_t kSplit = 0x80000003u;
  static constexpr uint32_t kCalibration = 0x80000004u;

  /// Four 32-bit numbers of position `index` (for MVUE: the group).
  TWOFOUR_HOST_DEVICE PhiloxBlock operator()(uint32_t index) const {
    return philox({index, micro_batch, step, tensor}, seed);
  }
};

/// Uniform in [0, 1) with 24 random bits: exact in float32.
TWOFOUR_HOST_DEVICE float uniform_from_bits(uint32_t bits) {
  return static_cast<float>(bits >> 8) * 0x1p-24f;
}

/// Uniform in [0, size) from the first 64 bits of a block; no value's probability is off by more
/// than 2^-64.
inline uint64_t below_from_block(const PhiloxBlock& block, uint64_t size) {
  const uint64_t bits = uint64_t{block[0]} << 32 | block[1];
  return static_cast<uint64_t>(static_cast<unsigned __int128>(bits) * size >> 64);
}

}  // namespace twofour
