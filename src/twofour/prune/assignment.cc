#include "twofour/prune/assignment.h"

#include <limits>

namespace twofour::prune {
namespace {

constexpr int64_t kNone = -1;

// Rows are assigned one after another. Costs (profits negated) minus the two potentials are never
// negative, and 0 for assigned pairs.
class Assignment {
 public:
  Assignment(std::span<const float> profit, int64_t n)
      : profit_(profit),
        n_(n),
        row_potential_(size()),
        column_potential_(size()),
        row_of_(size(), kNone),
        shortest_(size()),
        before_(size()),
        is_done_(size()) {}

  std::vector<int64_t> solve() {
    for (int64_t row = 0; row < n_; ++row) assign(row);
    std::vector<int64_t> columns(size());
    for (int64_t j = 0; j < n_; ++j) columns[index(row_of_[index(j)])] = j;
    return columns;
  }

 private:
  size_t size() const { return static_cast<size_t>(n_); }
  static size_t index(int64_t i) { return static_cast<size_t>(i); }

  double reduced_cost(int64_t row, int64_t column) const {
    return -static_cast<double>(profit_[index(row * n_ + column)]) - row_potential_[index(row)] -
           column_potential_[index(column)];
  }

  // The nearest column that is not done, over `row`, which is `distance` away.
  int64_t extend(int64_t row, int64_t through, double distance) {
    int64_t nearest = kNone;
    for (int64_t j = 0; j < n_; ++j) {
      if (is_done_[index(j)]) continue;
      const double length = distance + reduced_cost(row, j);
      if (length < shortest_[index(j)]) {
        shortest_[index(j)] = length;
        before_[index(j)] = through;
      }
      if (nearest == kNone || shortest_[index(j)] < shortest_[index(nearest)]) nearest = j;
    }
    return nearest;
  }

  // Dijkstra's search from `row` for a free column, and the assignment along the path.
  void assign(int64_t row) {
    std::fill(shortest_.begin(), shortest_.end(), std::numeric_limits<double>::infinity());
    std::fill(is_done_.begin(), is_done_.end(), false);
    int64_t column = extend(row, kNone, 0);
    while (row_of_[index(column)] != kNone) {
      is_done_[index(column)] = true;
      column = extend(row_of_[index(column)], column, shortest_[index(column)]);
    }
    const double length = shortest_[index(column)];
    row_potential_[index(row)] += length;
    for (int64_t j = 0; j < n_; ++j) {
      if (!is_done_[index(j)]) continue;
      row_potential_[index(row_of_[index(j)])] += length - shortest_[index(j)];
      column_potential_[index(j)] += shortest_[index(j)] - length;
    }
    for (int64_t through = before_[index(column)]; through != kNone;
         through = before_[index(column)]) {
      row_of_[index(column)] = row_of_[index(through)];
      column = through;
    }
    row_of_[index(column)] = row;
  }

  std::span<const float> profit_;
  int64_t n_;
  std::vector<double> row_potential_, column_potential_;
  std::vector<int64_t> row_of_;  // of each column
  std::vector<double> shortest_;
  std::vector<int64_t> before_;  // the column before, on the shortest path
  std::vector<bool> is_done_;
};

}  // namespace

std::vector<int64_t> best_assignment(std::span<const float> profit, int64_t n) {
  return Assignment(profit, n).solve();
}

}  // namespace twofour::prune
