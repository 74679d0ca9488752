// Row-wise kernels: loops written once and compiled for each instruction set, with the same bits on
// all. x_table.h holds the loops of the kernel x.h and their table; all_tables.h lists the tables;
// rows_reference.cc, rows_avx2.cc and rows_avx512.cc compile them.
#pragma once

#include "twofour/kernels/dispatch.h"

namespace twofour::kernels {

template <class Table>
const Table& reference_table();
template <class Table>
const Table& avx2_table();
template <class Table>
const Table& avx512_table();

/// The table of the best usable instruction set.
template <class Table>
const Table& table() {
  if constexpr (kIsX86) {
    if (usable().avx512) return avx512_table<Table>();
    if (usable().avx2) return avx2_table<Table>();
  }
  return reference_table<Table>();
}

namespace {

// The table for F = float, Floats8 or Floats16: one entry or a vector of entries. Every x_table.h
// specialises it; its loops are internal to the including source.
template <class Table, class F>
extern const Table kTable;

}  // namespace
}  // namespace twofour::kernels
