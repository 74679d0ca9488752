// How the process gets its memory.
#pragma once

namespace twofour {

/// Makes freed memory stay with the process, and tensors of 2 MiB and more lie in huge pages where
/// the system has them: the same sizes are asked for in every step of a training, and each page
/// that returned to the system meanwhile costs a fault, 2 microseconds on a virtual machine. Call
/// it before anything large is allocated. What the environment says (THP_MEM_ALLOC_ENABLE,
/// MALLOC_MMAP_MAX_, MALLOC_TRIM_THRESHOLD_) stands.
void keep_freed_memory();

}  // namespace twofour
