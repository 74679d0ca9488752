#include "twofour/base/memory.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>

#if defined(__GLIBC__)
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace twofour {

#if defined(__GLIBC__)
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

// A system that counts unused allocations must not be asked for more than is needed.
bool is_reserving_free() {
  int mode = 2;
  std::ifstream("/proc/sys/vm/overcommit_memory") >> mode;
  return mode != 2;
}

// Grows the heap by the largest need, marks it, and returns it to the allocator. No page of it was
// touched.
void mark_heap() {
  const auto bytes =
      static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGESIZE)) / 2;
  void* const heap = is_reserving_free() && bytes > kHugePage ? std::malloc(bytes) : nullptr;
  if (!heap) return;
  const auto first = (reinterpret_cast<uintptr_t>(heap) + kHugePage - 1) / kHugePage * kHugePage;
  madvise(reinterpret_cast<void*>(first), bytes - kHugePage, MADV_HUGEPAGE);
  std::free(heap);
}

}  // namespace

void keep_freed_memory() {
  if (std::getenv("MALLOC_MMAP_MAX_") || std::getenv("MALLOC_TRIM_THRESHOLD_")) return;
  // Large pieces come from the heap, and the heap never shrinks. An allocator in place of glibc's
  // answers 0.
  if (mallopt(M_MMAP_MAX, 0) == 0 || mallopt(M_TRIM_THRESHOLD, -1) == 0) return;
  mark_heap();
}
#else
void keep_freed_memory() {}
#endif

}  // namespace twofour
