// The one thread pool: the OpenMP runtime that ATen uses, through its entry point, so that our
// loops and ATen's never compete for the cores and any compiler may build this.
#pragma once

#include <cstdint>
#include <functional>

namespace twofour {

/// Threads that parallel_for and ATen use: at start the physical cores, at most 2^16.
int thread_count();
void set_thread_count(int threads);

/// Calls fn(first, last) on disjoint ranges that cover [begin, end). Ranges are multiples of
/// `grain` items long but for the last; at most thread_count() ranges, and one call on this thread
/// when the work is not worth more or when called from inside another parallel_for. The split
/// depends on the thread count only. The first exception that a range throws is thrown again here.
void parallel_for(int64_t begin, int64_t end, int64_t grain,
                  const std::function<void(int64_t first, int64_t last)>& fn);

}  // namespace twofour
