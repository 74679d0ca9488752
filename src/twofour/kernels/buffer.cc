#include "twofour/kernels/buffer.h"

#include <cstdint>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace twofour::kernels {
namespace {

constexpr size_t kLine = 64, kHugePage = size_t{2} << 20;

}  // namespace

void* allocate_aligned(size_t bytes) {
  // From two huge pages on, rounding up wastes at most half.
  const size_t alignment = bytes >= 2 * kHugePage ? kHugePage : kLine;
  if (bytes > PTRDIFF_MAX - alignment) throw std::bad_alloc();
  const size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  void* memory = std::aligned_alloc(alignment, rounded);
  if (!memory) throw std::bad_alloc();
#if defined(__linux__)
  // Only a hint: without free huge pages the system uses small ones.
  if (alignment == kHugePage) madvise(memory, rounded, MADV_HUGEPAGE);
#endif
  return memory;
}

}  // namespace twofour::kernels
