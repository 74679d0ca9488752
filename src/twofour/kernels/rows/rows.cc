#include "twofour/kernels/rows/rows.h"

#include "twofour/kernels/dispatch.h"

namespace twofour::kernels {

template <class T>
const RowLoops<T>& loops() {
  switch (instruction_set()) {
    case InstructionSet::kReference:
      return reference_loops<T>();
    case InstructionSet::kAvx2:
      return avx2_loops<T>();
    default:
      return avx512_loops<T>();
  }
}

#define TWOFOUR_INSTANTIATE(T) template const RowLoops<T>& loops<T>();
TWOFOUR_INSTANTIATE(float)
TWOFOUR_INSTANTIATE(bfloat16)
TWOFOUR_INSTANTIATE(float16)
#undef TWOFOUR_INSTANTIATE

}  // namespace twofour::kernels
