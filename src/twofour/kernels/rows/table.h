// Row-wise kernels: loops that are written once and compiled for each instruction set, all of which
// give the same bits. x_table.h holds the loops of the kernel x.h, and their table; all_tables.h
// lists the tables, and rows_reference.cc, rows_avx2.cc and rows_avx512.cc compile them.
#pragma once

#include "twofour/kernels/dispatch.h"

namespace twofour::kernels {

template <class Table>
const Table& reference_table();
template <class Table>
const Table& avx2_table();
template <class Table>
const Table& avx512_table();

/// The table of the best instruction set that may be used.
template <class Table>
const Table& table() {
  if constexpr (kIsX86) {
    if (usable().avx512) return avx512_table<Table>();
    if (usable().avx2) return avx2_table<Table>();
  }
  return reference_table<Table>();
}

namespace {

// The table made with F = float, Floats8 or Floats16, which holds one entry or as many as a vector
// does. Every x_table.h specialises it; what the loops are is internal to the including source.
template <class Table, class F>
extern const Table kTable;

}  // namespace
}  // namespace twofour::kernels
