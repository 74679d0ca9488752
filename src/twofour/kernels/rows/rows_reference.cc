#include "twofour/kernels/rows/all_tables.h"

namespace twofour::kernels {

#define TWOFOUR_DEFINE(Table)             \
  template <>                             \
  const Table& reference_table<Table>() { \
    return kTable<Table, float>;          \
  }
TWOFOUR_TABLES(TWOFOUR_DEFINE)
#undef TWOFOUR_DEFINE

}  // namespace twofour::kernels
