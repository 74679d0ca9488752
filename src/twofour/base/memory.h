// How the process gets its memory.
#pragma once

namespace twofour {

/// Makes freed memory stay with the process, and the heap lie in huge pages where the system has
/// them: the same sizes are asked for in every step of a training, and each page that returned to
/// the system meanwhile costs a fault, 2 microseconds on a virtual machine. Call it before anything
/// large is allocated. Only with glibc's allocator; MALLOC_MMAP_MAX_ or MALLOC_TRIM_THRESHOLD_ in
/// the environment stand, and then nothing is changed.
void keep_freed_memory();

}  // namespace twofour
