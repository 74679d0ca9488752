// The tile registers of AMX: eight of 16 rows of 64 bytes.
#pragma once

#include <cstdint>

#include <immintrin.h>

namespace twofour::kernels {
namespace {

// The compiler does not know that tile instructions access memory. No load or store may move past
// this call or be removed.
inline void order_memory(const void* used = nullptr) {
  __asm__ volatile("" ::"r"(used) : "memory");
}

struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// Tiles may be used on this thread between the two calls. Their stores are visible to other threads
// after stop_tiles().
inline void start_tiles() {
  TileConfig config;
  for (int i = 0; i < 8; ++i) {
    config.row_bytes[i] = 64;
    config.rows[i] = 16;
  }
  order_memory(&config);
  _tile_loadconfig(&config);
}

inline void stop_tiles() {
  _tile_release();
  _mm_sfence();  // for stores past the caches
}

}  // namespace
}  // namespace twofour::kernels
