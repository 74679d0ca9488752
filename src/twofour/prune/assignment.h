// The linear assignment problem.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace twofour::prune {

/// The permutation p of n with the largest sum of profit[i · n + p[i]], by shortest augmenting
/// paths in O(n³) (Jonker and Volgenant, Computing 38, 1987). Finite profits.
std::vector<int64_t> best_assignment(std::span<const float> profit, int64_t n);

}  // namespace twofour::prune
