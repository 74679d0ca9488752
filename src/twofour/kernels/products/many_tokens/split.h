// Splits a product of many tokens between threads, for panels of strips and of tiles.
#pragma once

#include <algorithm>
#include <cstdint>

#include "twofour/base/parallel.h"

namespace twofour::kernels {

/// x in units of some tokens, packed before they are multiplied. A chunk of units is handled at a
/// time so that it and its sums stay in a thread's caches.
struct Split {
  int64_t units = 0;
  int64_t grain = 1;       ///< minimum of units for a thread
  int64_t most = 1;        ///< units of a chunk that one thread packs
  int64_t shared = 1;      ///< units of a chunk that all threads pack
  bool by_tokens = false;  ///< each thread packs the units that it multiplies with all rows; else
                           ///< each multiplies all units with some rows
};

/// Calls use(first, last) for the units [begin, end) in even chunks of at most `most`.
template <class Use>
void for_chunks(int64_t begin, int64_t end, int64_t most, Use&& use) {
  const int64_t count = end - begin, chunks = (count + most - 1) / most;
  for (int64_t i = 0; i < chunks; ++i) {
    use(begin + i * count / chunks, begin + (i + 1) * count / chunks);
  }
}

/// product.chunk(first, last) is a chunk of x in the calling thread's memory. pack(part) packs one
/// of its packs() parts; multiply(first, last) multiplies it by some of product.rows() rows, in any
/// unit. If threads share the tokens, none waits for another or reads another's cache.
template <class Product>
void split_product(const Product& product, const Split& split) {
  if (split.by_tokens) {
    parallel_for(0, split.units, split.grain, [&](int64_t begin, int64_t end) {
      for_chunks(begin, end, split.most, [&](int64_t first, int64_t last) {
        const auto chunk = product.chunk(first, last);
        for (int64_t part = 0; part < chunk.packs(); ++part) chunk.pack(part);
        chunk.multiply(0, product.rows());
      });
    });
    return;
  }
  for_chunks(0, split.units, split.shared, [&](int64_t first, int64_t last) {
    const auto chunk = product.chunk(first, last);
    parallel_for(0, chunk.packs(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t part = begin; part < end; ++part) chunk.pack(part);
    });
    parallel_for(0, product.rows(), 1,
                 [&](int64_t begin, int64_t end) { chunk.multiply(begin, end); });
  });
}

}  // namespace twofour::kernels
