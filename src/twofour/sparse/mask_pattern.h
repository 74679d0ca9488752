// Describes masks: the N:M pattern that they satisfy.
#pragma once

#include <cstdint>
#include <string>

namespace twofour::sparse {

/// The pattern of mask [rows, columns] (one byte an entry, 1 = kept) along its rows:
///   "dense", "empty"   all or no entries are kept
///   "N:M"              exactly N of every M consecutive entries, with M of 4, 8, 2, 3, 5, 6 or 7,
///                      the first that fits and divides `columns`
///   "within 2:4"       at most two of every four
///   "unstructured"     anything else
std::string pattern_of_mask(const uint8_t* mask, int64_t rows, int64_t columns);

/// N:M: of every M consecutive entries of a row, N are kept.
struct GroupPattern {
  int64_t kept, group;
};

/// The pattern of a mask [rows, columns] in which every group is one of few candidates: N:M with
/// the smallest M that fits, 0 < N < M, and at most kernels::kMostCandidates ways to keep N of M.
/// Throws Error for any other mask, with the first group that differs from those before it; the
/// caller names the mask.
GroupPattern group_pattern_of(const uint8_t* mask, int64_t rows, int64_t columns);

/// The first entry of the first group of a mask [entries] that does not fit `pattern`, or -1. The
/// group divides `entries`.
int64_t first_unlike(const uint8_t* mask, int64_t entries, const GroupPattern& pattern);

}  // namespace twofour::sparse
