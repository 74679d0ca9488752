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

}  // namespace twofour::sparse
