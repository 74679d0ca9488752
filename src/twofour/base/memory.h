// How the process gets its memory.
#pragma once

namespace twofour {

/// Keeps freed memory in the process, and the heap in huge pages where the system has them.
/// Training allocates the same sizes in every step, and each page that was returned to the system
/// costs a fault, 2 microseconds on a virtual machine. Call it before anything large is allocated.
/// Does nothing without glibc's allocator, or if MALLOC_MMAP_MAX_ or MALLOC_TRIM_THRESHOLD_ is in
/// the environment.
void keep_freed_memory();

}  // namespace twofour
