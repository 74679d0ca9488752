#include "twofour/base/memory.h"

#include <cstdlib>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace twofour {

void keep_freed_memory() {
  // c10's allocator reads it at its first call.
  setenv("THP_MEM_ALLOC_ENABLE", "1", /*overwrite=*/0);
#if defined(__GLIBC__)
  // Large pieces come from the heap, and the heap never shrinks.
  if (!std::getenv("MALLOC_MMAP_MAX_")) mallopt(M_MMAP_MAX, 0);
  if (!std::getenv("MALLOC_TRIM_THRESHOLD_")) mallopt(M_TRIM_THRESHOLD, -1);
#endif
}

}  // namespace twofour
