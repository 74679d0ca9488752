#include "twofour/base/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>

// libgomp's stable interface, which "#pragma omp parallel" compiles to with g++.
extern "C" {
void GOMP_parallel(void (*fn)(void*), void* data, unsigned num_threads, unsigned flags);
int omp_get_thread_num(void);
int omp_get_num_threads(void);
int omp_get_max_threads(void);
int omp_in_parallel(void);
void omp_set_num_threads(int);
}

namespace twofour {
namespace {

struct Work {
  int64_t begin, end, chunk;
  const std::function<void(int64_t, int64_t)>* fn;
  std::atomic_flag failed = ATOMIC_FLAG_INIT;
  std::exception_ptr exception;
};

void run_one_range(void* data) {
  auto& work = *static_cast<Work*>(data);
  try {
    // The runtime may give fewer threads than asked for: each takes every n-th range.
    const int64_t stride = work.chunk * omp_get_num_threads();
    for (int64_t first = work.begin + work.chunk * omp_get_thread_num(); first < work.end;
         first += stride) {
      (*work.fn)(first, std::min(first + work.chunk, work.end));
    }
  } catch (...) {
    if (!work.failed.test_and_set()) work.exception = std::current_exception();
  }
}

}  // namespace

int thread_count() { return omp_get_max_threads(); }

void set_thread_count(int threads) { omp_set_num_threads(threads); }

void parallel_for(int64_t begin, int64_t end, int64_t grain,
                  const std::function<void(int64_t, int64_t)>& fn) {
  if (end <= begin) return;
  grain = std::max<int64_t>(grain, 1);
  const int64_t grains = (end - begin + grain - 1) / grain;
  const int64_t threads = std::min<int64_t>(thread_count(), grains);
  if (threads <= 1 || omp_in_parallel()) {
    fn(begin, end);
    return;
  }
  Work work{begin, end, (grains + threads - 1) / threads * grain, &fn, ATOMIC_FLAG_INIT, nullptr};
  GOMP_parallel(run_one_range, &work, static_cast<unsigned>(threads), 0);
  if (work.exception) std::rethrow_exception(work.exception);
}

}  // namespace twofour
