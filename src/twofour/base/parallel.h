// The one thread pool: the OpenMP runtime that ATen uses, through its entry point. Our loops and
// ATen's never compete for cores, and any compiler can build this.
#pragma once

#include <cstdint>
#include <functional>

namespace twofour {

/// Threads that parallel_for and ATen use: at start the physical cores, at most 2^16.
int thread_count();
void set_thread_count(int threads);

/// Calls fn(first, last) on at most thread_count() disjoint ranges that cover [begin, end). All but
/// the last are multiples of `grain` items long. Little work, or a call from inside another
/// parallel_for, is one call on this thread. The split depends only on the thread count. The first
/// exception that a range throws is rethrown here.
void parallel_for(int64_t begin, int64_t end, int64_t grain,
                  const std::function<void(int64_t first, int64_t last)>& fn);

}  // namespace twofour
