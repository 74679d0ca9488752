#include "twofour/kernels/rows/all_tables.h"

namespace twofour::kernels {

#define TWOFOUR_DEFINE(Table)        \
  template <>                        \
  const Table& avx2_table<Table>() { \
    return kTable<Table, Floats8>;   \
  }
TWOFOUR_TABLES(TWOFOUR_DEFINE)
#undef TWOFOUR_DEFINE

}  // namespace twofour::kernels
